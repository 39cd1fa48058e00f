"""A classifier that is an encoder's network, tuned to the products' classes, and a linear layer.

The last layers of the network and the linear layer are trained together on the inputs. Where a
model sees other blocks as well, the linear layer then learns from all, side by side as in early
fusion, with the network as it was tuned. PyTorch trains; OpenVINO and NumPy predict, so that nobody
needs PyTorch to use a model.
"""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, NonNegativeFloat

from stages.classifiers.base.arrays import LinearClassifier
from stages.classifiers.base.epochs import INPUT_LENGTH, ClassWeight, reproducible
from stages.classifiers.base.interface import ClassifierSettings
from stages.classifiers.base.saved_network import SavedNetwork
from stages.classifiers.base.tuning import (
    Precision,
    TunedNetwork,
    class_probabilities,
    tune,
    tune_head,
)
from stages.classifiers.base.tuning_cache import Tuned, tuned_once
from stages.classifiers.base.vector_cache import CachedNetwork
from stages.common.blocks import Blocks, InputBlock, concatenate, input_key
from stages.common.devices import torch_device
from stages.common.settings import Positive, PositiveFloat, Slug

Validation = tuple[Blocks, np.ndarray] | None


class TuningSettings(ClassifierSettings):
    """The network of `encoder`, and a linear layer.

    Of the network, the last `layers` learn at `learning_rate`, or, with `lora`, matrices of that
    rank in them; the linear layer learns at `head_learning_rate`. `contrastive` is the weight of
    the supervised contrastive loss of the tuned vectors beside cross-entropy. `device` auto is a
    GPU, where PyTorch has one by CUDA, and `precision` auto is bfloat16 on a GPU that has it, else
    float32.
    """

    tunes: ClassVar[tuple[str, ...]]  # the kinds of encoder

    encoder: Slug
    layers: Positive | Literal["all"]
    lora: Positive | None = None
    learning_rate: PositiveFloat
    head_learning_rate: PositiveFloat = 0.01
    batch_size: Annotated[int, Field(ge=2)] = 32
    max_epochs: Positive
    patience: Positive | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.05
    class_weight: ClassWeight = "sqrt"
    contrastive: NonNegativeFloat
    device: Literal["auto", "cpu"] = "auto"
    precision: Precision = "auto"

    @property
    def reads_inputs_of(self) -> tuple[str, ...]:
        """The encoder whose inputs the classifier reads itself."""
        return (self.encoder,)

    @property
    def may_use_gpu(self) -> bool:
        """Whether a GPU tunes the network, where there is one."""
        return self.device == "auto"

    @property
    def n_layers(self) -> int | None:
        """How many of the last layers are trained; None for all."""
        return None if self.layers == "all" else self.layers

    def check_encoders(
        self, encoders: Mapping[str, Any], seen: Mapping[str, Collection[tuple[str, str]]]
    ) -> None:
        """Raise ValueError unless some modality sees the encoder and its kind can be tuned."""
        visible = {encoder for blocks in seen.values() for encoder, _ in blocks}
        fit = sorted(name for name in visible if encoders[name].kind in self.tunes)
        if self.encoder in fit:
            return
        of_kind = f"name one of kind {' or '.join(self.tunes)}"
        if self.encoder in visible:
            remedy = f"of kind {encoders[self.encoder].kind}: {of_kind}"
        else:
            section = f"{self.tunes[0].rpartition('_')[2]}.encoders"
            remedy = f"which no modality sees: add it to {section}, or {of_kind}"
        raise ValueError(
            f"encoder names {self.encoder}, {remedy}" + (f", such as {fit[0]}" if fit else "")
        )


class TunedClassifier(LinearClassifier):
    """The variables of a linear layer, and a tuned network where a block has inputs.

    A kind of classifier says which network predicts, and makes the one that PyTorch trains.
    """

    settings: TuningSettings | None
    build_file = "linear.json"
    saved_network: ClassVar[type[SavedNetwork]]

    def __init__(self, settings: Any, seed: int, block_weights: Mapping[str, float]) -> None:
        super().__init__(settings, seed, block_weights)
        self._network: SavedNetwork | CachedNetwork | None = None

    @staticmethod
    def tuned_network(settings: Any, network: Any, device: str) -> TunedNetwork:
        """Return an encoder's network as PyTorch trains it on cpu or cuda."""
        raise NotImplementedError

    def fit(
        self, X: Blocks, y: np.ndarray, validation: tuple[Blocks, np.ndarray] | None = None
    ) -> Self:
        """Fit on the training products, for `settings.max_epochs`.

        With `settings.patience`, stop when the loss on validation stops falling, and keep what is
        best on validation. A network is tuned for the block whose inputs X has, by its
        `input_key`: it stands for all blocks of the text, or of the image. Progress goes to
        standard error.
        """
        assert self.settings is not None
        tuned = next((name for name in self.block_weights if input_key(name) in X), None)
        if tuned is not None and len(set(y[X[input_key(tuned)].there].tolist())) < 2:
            tuned = None  # the inputs tell no classes apart
        replaced = X[input_key(tuned)].replaces if tuned else ()
        weights = self.block_weights
        self.classes_ = sorted(set(y.tolist()))
        self._build = {
            "classes": self.classes_,
            "block_weights": weights,
            "tuned": tuned,
            "frozen": [name for name in weights if name not in replaced],
            "tuned_weight": sum(weights[name] ** 2 for name in weights if name in replaced) ** 0.5,
        }
        head = None
        if tuned is not None:
            device = "cuda" if self.settings.may_use_gpu and torch_device() == "cuda" else "cpu"
            with reproducible(self.seed, device):
                found = self._tune(self.settings, X, y, validation, device)
            self._network, self.history_ = found.network, found.history
            head = found.variables
        if self._build["frozen"]:
            if head is not None:  # on vectors of length 1; here they are weighted
                head = head | {"kernel": head["kernel"] / self._build["tuned_weight"]}
            held_out = None if validation is None else (self.rows(validation[0]), validation[1])
            train = self.rows(X), y
            with reproducible(self.seed):  # anew: what was tuned before draws nothing
                head, history = tune_head(self.settings, self.classes_, train, held_out, head)
            self.history_ = self.history_ or history
        assert head is not None
        self._variables = head
        self._build["n_features"] = len(head["kernel"])
        return self

    def _tune(
        self,
        settings: TuningSettings,
        X: Blocks,
        y: np.ndarray,
        validation: Validation,
        device: str,
    ) -> Tuned:
        """Tune the network to the products that have an input; the same ones are tuned to once."""
        block: InputBlock = X[input_key(self._build["tuned"])]
        parts = [(block.inputs[block.there].tolist(), y[block.there])]
        if validation is not None:
            held_out: InputBlock = validation[0][input_key(self._build["tuned"])]
            labels = validation[1][held_out.there]
            if np.isin(labels, self.classes_).any():
                parts.append((held_out.inputs[held_out.there].tolist(), labels))
        key = [
            settings.model_dump(mode="json") | {"device": _name_of(device)},
            self.seed,
            self.classes_,
            *([list(map(_described, inputs)), labels.tolist()] for inputs, labels in parts),
        ]
        assert block.network is not None

        def run(checkpoint: Path) -> Tuned:
            network = self.tuned_network(settings, block.network, device)
            judged = parts[1] if len(parts) > 1 else None
            variables, history = tune(
                settings, self.classes_, network, parts[0], judged, device, checkpoint
            )
            return Tuned(network.saved(), variables, history)

        return tuned_once(key, block.network, run, self.saved_network.load)

    def rows(self, X: Blocks) -> np.ndarray:
        """Return what the linear layer sees, float32 of shape (n, n_features)."""
        n = len(next(iter(X.values())))
        parts = [np.zeros((n, 0), dtype=np.float32)]
        if scales := {
            name: INPUT_LENGTH * self.block_weights[name] for name in self._build["frozen"]
        }:
            parts.append(concatenate({name: X[name] for name in scales}, scales))
        if self._network is not None:
            scale = np.float32(INPUT_LENGTH * self._build["tuned_weight"])
            inputs = X[input_key(self._build["tuned"])].inputs
            parts.append(scale * self._network.encode(inputs))
        return np.hstack(parts)

    def predict_proba(self, X: Blocks) -> np.ndarray:
        """Return the probability of each class, float32 of shape (n, len(classes_))."""
        return class_probabilities(self._variables, self.rows(X))

    @property
    def variables(self) -> dict[str, np.ndarray]:
        """The linear layer: kernel, float32 (n_features, classes), and bias, float32 (classes,)."""
        return self._variables

    def save(self, folder: Path) -> None:
        """Write the description, the arrays and the tuned network into `folder`."""
        super().save(folder)
        if self._network is not None:
            self._network.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load what `save` wrote, to predict with it; raises InputError for any other content."""
        classifier = super().load(folder)
        if classifier._build["tuned"] is not None:
            classifier._network = cls.saved_network.load(folder)
        return classifier

    @staticmethod
    def shapes_of(build: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and type of each array, by a description."""
        known = set(build["block_weights"])
        float(build["tuned_weight"])
        if build["tuned"] not in (None, *known) or not set(build["frozen"]) <= known:
            raise ValueError("blocks that it has no weights of")
        return LinearClassifier.shapes_of(build)


def _described(one: str | bytes) -> str:
    """Return a text, or the hash of an image."""
    return one if isinstance(one, str) else hashlib.sha256(one).hexdigest()


def _name_of(device: str) -> str:
    """Return what the numbers depend on: a GPU's model, or cpu."""
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else device
