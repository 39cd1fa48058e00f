"""The network of a text encoder, tuned to the products' classes, and a linear layer on it.

The last layers of the network and the linear layer are trained together on the texts. Where a model
sees images as well, the linear layer then learns from both, side by side as in early fusion, with
the network as it was tuned. PyTorch trains; OpenVINO and NumPy predict, so that nobody needs
PyTorch to use a model.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field
from scipy.special import softmax

from stages.classifiers.base.arrays import ArrayClassifier
from stages.classifiers.base.contrastive import supervised_contrastive
from stages.classifiers.base.epochs import (
    INPUT_LENGTH,
    ClassWeight,
    History,
    judge,
    reproducible,
)
from stages.classifiers.base.frozen_layers import Tokens
from stages.classifiers.base.interface import ClassifierSettings
from stages.classifiers.base.saved_text import SavedText
from stages.classifiers.base.training_loop import train_epochs
from stages.classifiers.base.tuned_text import TunedText
from stages.classifiers.base.tuning_cache import Tuned, tuned_once
from stages.common.blocks import Blocks, TextBlock, concatenate, text_key
from stages.common.devices import torch_device
from stages.common.settings import Positive, PositiveFloat, Slug
from stages.common.text_network import TextNetwork

JUDGED = 64  # validation products at a time

Labeled = tuple[TextBlock, np.ndarray]  # texts, and labels of shape (n,)


class Settings(ClassifierSettings):
    """The network of `encoder`, one of kind huggingface_text, and a linear layer.

    Of the network, the last `layers` learn at `learning_rate`; the linear layer learns at
    `head_learning_rate`. `contrastive` is the weight of the supervised contrastive loss of the
    tuned vectors beside cross-entropy. `device` auto is a GPU, where PyTorch has one by CUDA.
    """

    encoder: Slug = "minilm"
    layers: Positive | Literal["all"] = 3
    learning_rate: PositiveFloat = 1e-4
    head_learning_rate: PositiveFloat = 0.01
    batch_size: Annotated[int, Field(ge=2)] = 32
    max_epochs: Positive = 8
    patience: Positive = 3
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.05
    class_weight: ClassWeight = "sqrt"
    contrastive: Annotated[float, Field(ge=0)] = 0.5
    device: Literal["auto", "cpu"] = "auto"

    @property
    def reads_texts_of(self) -> str | None:
        """The encoder whose texts the classifier reads itself."""
        return self.encoder

    @property
    def may_use_gpu(self) -> bool:
        """Whether a GPU tunes the network, where there is one."""
        return self.device == "auto"


class Classifier(ArrayClassifier):
    """The variables of a linear layer, and a tuned network where a block has texts."""

    settings: Settings | None
    build_file = "linear.json"

    def __init__(self, settings: Any, seed: int, block_weights: Mapping[str, float]) -> None:
        super().__init__(settings, seed, block_weights)
        self._network: SavedText | None = None

    def fit(
        self, X: Blocks, y: np.ndarray, validation: tuple[Blocks, np.ndarray] | None = None
    ) -> Self:
        """Fit on the training products; stop when the loss on validation stops falling.

        What is kept is of the epoch that is best on validation; without validation products, of the
        last of `settings.max_epochs`. A network is tuned for the block whose texts X has, by its
        `text_key`: it stands for all blocks of the text. Progress goes to standard error.
        """
        assert self.settings is not None
        tuned = next((name for name in self.block_weights if text_key(name) in X), None)
        if tuned is not None and len(set(_with_text(X[text_key(tuned)], y)[1].tolist())) < 2:
            tuned = None  # the texts tell no classes apart
        replaced = X[text_key(tuned)].replaces if tuned else ()
        weights = self.block_weights
        self.classes_ = sorted(set(y.tolist()))
        self._build = {
            "classes": self.classes_,
            "block_weights": weights,
            "tuned": tuned,
            "frozen": [name for name in weights if name not in replaced],
            "text_weight": sum(weights[name] ** 2 for name in weights if name in replaced) ** 0.5,
        }
        head = None
        if tuned is not None:
            device = "cuda" if self.settings.may_use_gpu and torch_device() == "cuda" else "cpu"
            with reproducible(self.seed, device):
                found = self._tune(self.settings, X, y, validation, device)
            self._network, self.history_ = found.network, found.history
            head = found.variables
        if self._build["frozen"]:
            with reproducible(self.seed):  # anew: what was tuned before draws nothing
                head, history = self._fit_head(self.settings, X, y, validation, head)
                self.history_ = self.history_ or history
        assert head is not None
        self._variables = head
        self._build["n_features"] = len(head["kernel"])
        return self

    def _tune(
        self,
        settings: Settings,
        X: Blocks,
        y: np.ndarray,
        validation: tuple[Blocks, np.ndarray] | None,
        device: str,
    ) -> Tuned:
        """Tune the network to the products that have a text; the same ones are tuned to once."""
        name = text_key(self._build["tuned"])
        train = _with_text(X[name], y)
        held_out = None
        if validation is not None:
            texts, labels = _with_text(validation[0][name], validation[1])
            if np.isin(labels, self.classes_).any():
                held_out = texts, labels
        key = [
            settings.model_dump(mode="json") | {"device": _name_of(device)},
            self.seed,
            self.classes_,
            *(
                [block.texts.tolist(), labels.tolist()]
                for block, labels in (train, *([held_out] if held_out else []))
            ),
        ]
        network = train[0].network
        assert network is not None
        run = partial(tune, settings, self.classes_, network, train, held_out, device)
        return tuned_once(key, network, run)

    def _fit_head(
        self,
        settings: Settings,
        X: Blocks,
        y: np.ndarray,
        validation: tuple[Blocks, np.ndarray] | None,
        start: dict[str, np.ndarray] | None,
    ) -> tuple[dict[str, np.ndarray], History]:
        """Train the linear layer on all that it sees, from where the tuning left it."""
        import torch

        rows = torch.from_numpy(self._rows(X))
        layer = _linear(rows.shape[1], len(self.classes_))
        if start is not None:  # what the network gives stands last
            with torch.no_grad():
                n = len(start["kernel"])
                layer.weight[:, -n:] = (
                    torch.from_numpy(start["kernel"].T) / self._build["text_weight"]
                )
                layer.bias.copy_(torch.from_numpy(start["bias"]))
        judged = None
        if validation is not None:
            held_out = self._rows(validation[0])

            def judged() -> tuple[float, float]:
                X = {"rows": held_out}
                return judge(
                    lambda X: _softmax(_variables(layer), X["rows"]),
                    self.classes_,
                    X,
                    validation[1],
                )

        history = train_epochs(
            settings,
            [{"params": list(layer.parameters()), "lr": settings.head_learning_rate}],
            lambda chosen: (layer(rows[chosen]), 0),
            np.zeros(len(y)),
            y,
            self.classes_,
            judged,
            lambda history: None,
        )
        return _variables(layer), history

    def _rows(self, X: Blocks) -> np.ndarray:
        """Return what the linear layer sees, float32 of shape (n, n_features)."""
        n = len(next(iter(X.values())))
        parts = [np.zeros((n, 0), dtype=np.float32)]
        if scales := {
            name: INPUT_LENGTH * self.block_weights[name] for name in self._build["frozen"]
        }:
            parts.append(concatenate({name: X[name] for name in scales}, scales))
        if self._network is not None:
            scale = np.float32(INPUT_LENGTH * self._build["text_weight"])
            parts.append(scale * self._network.encode(X[text_key(self._build["tuned"])].texts))
        return np.hstack(parts)

    def predict_proba(self, X: Blocks) -> np.ndarray:
        """Return the probability of each class, float32 of shape (n, len(classes_))."""
        return _softmax(self._variables, self._rows(X))

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
            classifier._network = SavedText.load(folder)
        return classifier

    @staticmethod
    def block_weights_of(build: Mapping[str, Any]) -> dict[str, float]:
        """Return what each block is multiplied with, by a description."""
        return build["block_weights"]

    @staticmethod
    def shapes_of(build: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and type of each array, by a description."""
        known = set(build["block_weights"])
        float(build["text_weight"])
        if build["tuned"] not in (None, *known) or not set(build["frozen"]) <= known:
            raise ValueError("blocks that it has no weights of")
        shapes = {
            "kernel": (build["n_features"], len(build["classes"])),
            "bias": (len(build["classes"]),),
        }
        return {name: (shape, np.dtype(np.float32)) for name, shape in shapes.items()}


def tune(
    settings: Settings,
    classes: Sequence[str],
    network: TextNetwork,
    train: Labeled,
    validation: Labeled | None,
    device: str = "cpu",
) -> Tuned:
    """Tune a network to texts, together with a linear layer on it, on cpu or cuda."""
    import torch

    block, y = train
    text = TunedText(network, None if settings.layers == "all" else settings.layers, device)
    layer = _linear(text.n_features, len(classes)).to(device)
    tokens = text.tokens(block.texts.tolist())
    lengths = np.array([len(ids) for ids in tokens])

    columns = torch.from_numpy(np.searchsorted(classes, y)).to(device)

    def outputs(rows: np.ndarray) -> tuple[Any, Any]:
        vectors = text.vectors([tokens[row] for row in rows], True)
        added = 0.0
        if settings.contrastive:
            added = settings.contrastive * supervised_contrastive(vectors, columns[rows])
        return layer(INPUT_LENGTH * vectors), added

    def logits(tokens: Tokens) -> Any:
        return layer(INPUT_LENGTH * text.vectors(tokens, False))

    judged = None
    if validation is not None:
        held_out, labels = validation
        judged = partial(
            _judge, logits, text.tokens(held_out.texts.tolist()), labels, list(classes)
        )
    history = train_epochs(
        settings,
        [
            {"params": list(layer.parameters()), "lr": settings.head_learning_rate},
            {"params": text.parameters, "lr": settings.learning_rate},
        ],
        outputs,
        lengths,
        y,
        classes,
        judged,
        partial(_say, len(y), time.monotonic()),
    )
    return Tuned(text.saved(), _variables(layer), history)


def _with_text(block: TextBlock, y: np.ndarray) -> Labeled:
    """Return the texts that are there, and their labels."""
    has = np.array([bool(text) for text in block.texts], dtype=bool)
    return block[has], y[has]


def _judge(
    logits: Callable[[Tokens], Any],
    tokens: Tokens,
    y: np.ndarray,
    classes: list[str],
) -> tuple[float, float]:
    """Return the loss and the accuracy on validation products while a network is tuned."""
    import torch

    order = np.argsort([len(ids) for ids in tokens], kind="stable")
    found = np.empty((len(tokens), len(classes)), dtype=np.float32)
    with torch.no_grad():
        for start in range(0, len(order), JUDGED):
            rows = order[start : start + JUDGED]
            found[rows] = logits([tokens[row] for row in rows]).softmax(dim=1).cpu().numpy()
    return judge(lambda X: X["found"], classes, {"found": found}, y)


def _say(n: int, start: float, history: History) -> None:
    """Say on standard error how the last epoch went."""
    curves = {name.replace("_", " "): values[-1] for name, values in history.items() if values}
    parts = ", ".join(f"{name} {value:.4f}" for name, value in curves.items())
    done, seconds = len(history["train_loss"]), time.monotonic() - start
    print(f"tuning on {n:,} texts, epoch {done}, {seconds:.0f} s: {parts}", file=sys.stderr)


def _linear(size: int, n_classes: int) -> Any:
    """Return a linear layer of zeros."""
    import torch

    layer = torch.nn.Linear(size, n_classes)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    return layer


def _variables(layer: Any) -> dict[str, np.ndarray]:
    """Return a copy of a linear layer's variables."""
    return {
        "kernel": layer.weight.detach().cpu().numpy().T.copy(),
        "bias": layer.bias.detach().cpu().numpy().copy(),
    }


def _name_of(device: str) -> str:
    """Return what the numbers depend on: a GPU's model, or cpu."""
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else device


def _softmax(variables: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    return softmax(rows @ variables["kernel"] + variables["bias"], axis=1)
