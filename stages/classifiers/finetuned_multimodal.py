"""The networks of a text and of an image encoder, both tuned, and one linear layer on the two.

Each network is tuned by itself, as `finetuned` and `finetuned_image` do. The linear layer of a
model of both goes on from theirs, and learns from their vectors side by side. Meanwhile the image
or the text of some products is hidden from it, so that it learns what each says by itself as well
(modality dropout: Neverova et al. 2016, ModDrop).
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, field_validator

from stages.classifiers.base.arrays import LinearClassifier
from stages.classifiers.base.epochs import reproducible
from stages.classifiers.base.image_classifier import ImageClassifier, ImageSettings
from stages.classifiers.base.interface import ClassifierSettings
from stages.classifiers.base.text_classifier import TextClassifier, TextSettings
from stages.classifiers.base.tuned_classifier import TunedClassifier, TuningSettings
from stages.classifiers.base.tuning import class_probabilities, tune_head
from stages.common.blocks import Blocks, input_key
from stages.common.text_network import TextNetwork

KINDS: dict[str, type[TunedClassifier]] = {
    "image": ImageClassifier,
    "text": TextClassifier,
}


class Settings(ClassifierSettings):
    """How the networks of `text` and `image` are tuned, and how often one of the two is hidden.

    The linear layer on both learns as that on the text does. `modality_dropout` is the share of
    products whose image or text it does not see in an epoch.
    """

    text: TextSettings = TextSettings()
    image: ImageSettings = ImageSettings()
    modality_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3

    @field_validator("text", "image")
    @classmethod
    def _trained_to_the_end(cls, part: TuningSettings) -> TuningSettings:
        if part.patience is not None:
            raise ValueError("patience: leave it out, both networks are trained to the last epoch")
        return part

    @property
    def parts(self) -> dict[str, TuningSettings]:
        """How each network is tuned, by what it reads."""
        return {"image": self.image, "text": self.text}

    @property
    def reads_inputs_of(self) -> tuple[str, ...]:
        """The encoders whose inputs the classifier reads itself."""
        return tuple(part.encoder for part in self.parts.values())

    @property
    def may_use_gpu(self) -> bool:
        """Whether a GPU tunes a network, where there is one."""
        return any(part.may_use_gpu for part in self.parts.values())

    def bytes_for(self, n: int) -> int:
        """Return how many bytes it holds to fit n products: their images."""
        return self.image.bytes_for(n)

    def check_encoders(
        self, encoders: Mapping[str, Any], seen: Mapping[str, Collection[tuple[str, str]]]
    ) -> None:
        """Raise ValueError unless some modality sees each encoder and its kind can be tuned."""
        for name, part in self.parts.items():
            try:
                part.check_encoders(encoders, seen)
            except ValueError as error:
                raise ValueError(f"{name}.{error}") from None


class Classifier(LinearClassifier):
    """The variables of a linear layer, and a classifier of each input that has a network."""

    settings: Settings | None
    build_file = "multimodal.json"

    def __init__(self, settings: Any, seed: int, block_weights: Mapping[str, float]) -> None:
        super().__init__(settings, seed, block_weights)
        self._parts: dict[str, TunedClassifier] = {}

    def fit(
        self, X: Blocks, y: np.ndarray, validation: tuple[Blocks, np.ndarray] | None = None
    ) -> Self:
        """Fit on the training products, for as many epochs as the settings say.

        The networks are those of the blocks whose inputs X has, by their `input_key`. A linear
        layer learns from the vectors of an input without one. Progress goes to standard error.
        """
        assert self.settings is not None
        self.classes_ = sorted(set(y.tolist()))
        seen = {name: blocks for name in KINDS if (blocks := self._blocks_of(name, X))}
        if others := set(self.block_weights).difference(*seen.values()):
            # What no network stands for, as where a modality names other encoders alone.
            unseen = next(name for name in KINDS if name not in seen)
            seen[unseen] = [name for name in self.block_weights if name in others]
        lengths = {
            name: sum(self.block_weights[block] ** 2 for block in blocks) ** 0.5
            for name, blocks in seen.items()
        }
        self._parts = {}
        for name, blocks in seen.items():
            weights = {block: self.block_weights[block] / lengths[name] for block in blocks}
            held_out = (
                None if validation is None else (_select(validation[0], blocks), validation[1])
            )
            part = KINDS[name](self.settings.parts[name], self.seed, weights)
            self._parts[name] = part.fit(_select(X, blocks), y, held_out)
        self._build = {
            "classes": self.classes_,
            "block_weights": self.block_weights,
            "weights": lengths,
        }
        heads = {name: part.variables for name, part in self._parts.items()}
        self._variables = {
            "kernel": np.vstack([one["kernel"] / lengths[name] for name, one in heads.items()]),
            "bias": np.sum([one["bias"] for one in heads.values()], axis=0),
        }
        self.history_ = next(iter(self._parts.values())).history_
        if len(heads) > 1:
            sizes = [len(one["kernel"]) for one in heads.values()]
            self._join(X, y, validation, sizes)
        self._build["n_features"] = len(self._variables["kernel"])
        return self

    def _join(
        self,
        X: Blocks,
        y: np.ndarray,
        validation: tuple[Blocks, np.ndarray] | None,
        sizes: Sequence[int],
    ) -> None:
        """Train the linear layer on both vectors, of these sizes, from where it is."""
        assert self.settings is not None
        held_out = None if validation is None else (self._rows(validation[0]), validation[1])
        train = self._rows(X), y
        hide = partial(hide_one, sizes=sizes, share=self.settings.modality_dropout)
        with reproducible(self.seed):
            self._variables, self.history_ = tune_head(
                self.settings.text, self.classes_, train, held_out, self._variables, hide
            )

    def _blocks_of(self, part: str, X: Blocks) -> list[str]:
        """Return the blocks that the network of the image or the text stands for, in X."""
        for name in self.block_weights:
            block = X.get(input_key(name))
            if block is not None and isinstance(block.network, TextNetwork) == (part == "text"):
                return [one for one in self.block_weights if one in block.replaces]
        return []

    def _rows(self, X: Blocks) -> np.ndarray:
        """Return what the linear layer sees, float32 of shape (n, n_features)."""
        weights = self._build["weights"]
        return np.hstack(
            [np.float32(weights[name]) * part.rows(X) for name, part in self._parts.items()]
        )

    def predict_proba(self, X: Blocks) -> np.ndarray:
        """Return the probability of each class, float32 of shape (n, len(classes_))."""
        return class_probabilities(self._variables, self._rows(X))

    def save(self, folder: Path) -> None:
        """Write the description, the arrays and the parts into `folder`."""
        super().save(folder)
        for name, part in self._parts.items():
            (folder / name).mkdir(exist_ok=True)
            part.save(folder / name)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load what `save` wrote, to predict with it; raises InputError for any other content."""
        classifier = super().load(folder)
        for name in classifier._build["weights"]:
            classifier._parts[name] = KINDS[name].load(folder / name)
        return classifier

    @staticmethod
    def shapes_of(build: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and type of each array, by a description."""
        for name, weight in build["weights"].items():
            float(weight)
            if name not in KINDS:
                raise ValueError(f"no network reads the {name}")
        return LinearClassifier.shapes_of(build)


def hide_one(rows: Any, sizes: Sequence[int], share: float) -> Any:
    """Return rows of two vectors, of these sizes, of which a share have zeros for one of the two.

    `rows` is a tensor of shape (n, sum of sizes). One that has only one vector stays as it is.
    """
    import torch

    parts = rows.split(list(sizes), dim=1)
    has_both = torch.stack([part.any(dim=1) for part in parts]).all(dim=0)
    hidden = torch.where(torch.rand(len(rows)) < share, torch.randint(2, (len(rows),)), -1)
    return torch.cat(
        [part * ~(has_both & (hidden == i))[:, None] for i, part in enumerate(parts)], dim=1
    )


def _select(X: Blocks, blocks: Collection[str]) -> Blocks:
    """Return some blocks, with their inputs."""
    keys = [*blocks, *map(input_key, blocks)]
    return {key: X[key] for key in keys if key in X}
