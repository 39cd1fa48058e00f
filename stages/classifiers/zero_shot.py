"""The class whose name is closest, by CLIP or SigLIP: nothing is learnt from labelled products.

The text tower embeds a prompt of each class, such as "a photo of a TV". A product's score for a
class is the cosine of the prompt's vector with that of its image, with that of its text, or the
mean of the two (Radford et al. 2021, Learning Transferable Visual Models From Natural Language
Supervision). Of the labels of training products only the set of classes is used.

Blocks come centred on the mean of the training products, which takes another constant off the
cosines with each class. So the centring is undone, and the cosines are those of the towers' own
vectors. The rest of a modality's blocks is not looked at, nor are the weights of blocks.
"""

import sys
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import AfterValidator, Field
from scipy.special import softmax

from stages.classifiers.base.arrays import ArrayClassifier
from stages.classifiers.base.epochs import reproducible
from stages.classifiers.base.interface import ClassifierSettings
from stages.common import paths
from stages.common.blocks import Blocks, mean_key, uncentred
from stages.common.clip_network import encode_texts
from stages.common.errors import InputError
from stages.common.settings import Name, PositiveFloat, Slug

LABEL = "{label}"
SAME = ("model", "revision", "path", "package")  # in the entries of two towers of one model


def _with_label(prompt: str) -> str:
    if LABEL not in prompt:
        raise ValueError(f"the prompt has no {LABEL}, which stands for the name of a class")
    return prompt


class Settings(ClassifierSettings):
    """The two towers of one model, and how a class is put into words.

    `names` has other names of some classes, by label. Probabilities are the softmax of the cosines
    times `logit_scale`; CLIP learnt 100.
    """

    image_encoder: Slug = "clip_image"
    text_encoder: Slug = "clip_text"
    prompt: Annotated[str, AfterValidator(_with_label)] = f"a photo of a {LABEL}"
    names: dict[Name, Name] = Field(default={})
    logit_scale: PositiveFloat = 100.0

    @property
    def reads_means(self) -> bool:
        """Whether `fit` is given the mean that was taken off each block."""
        return True

    @property
    def reads_weights_of(self) -> tuple[str, ...]:
        """The tower that embeds the prompts."""
        return (self.text_encoder,)

    @property
    def encoders(self) -> dict[str, str]:
        """The encoder of each input."""
        return {"image": self.image_encoder, "text": self.text_encoder}

    def check_encoders(
        self, encoders: Mapping[str, Any], seen: Mapping[str, Collection[tuple[str, str]]]
    ) -> None:
        """Raise ValueError unless each modality sees the tower of each of its inputs.

        The tower of texts is needed in any case, for the prompts.
        """
        inputs = {"text", *(input for blocks in seen.values() for _, input in blocks)}
        for input in sorted(inputs):
            name, place = self.encoders[input], f"{input}_encoder"
            if name not in encoders:
                raise ValueError(
                    f"{place} is {name}, which is not in use: add it to {input}.encoders"
                )
            if (kind := encoders[name].kind) != f"clip_{input}":
                raise ValueError(
                    f"{place} is {name}, of kind {kind}: name an encoder of kind clip_{input}"
                )
        models = [
            tuple(getattr(encoders[self.encoders[one]], key) for key in SAME) for one in inputs
        ]
        if len(set(models)) > 1:
            raise ValueError(
                f"{self.image_encoder} and {self.text_encoder} are of two models: give both "
                f"entries under `encoders` the same {', '.join(SAME)}"
            )
        for modality, blocks in seen.items():
            for input in sorted({input for _, input in blocks}):
                if (self.encoders[input], input) not in blocks:
                    raise ValueError(
                        f"the modality {modality} does not see {self.encoders[input]}: add it to "
                        f"modalities.{modality}.encoders"
                    )

    def check_classes(self, classes: Collection[str]) -> None:
        """Warn of names for labels that no product has: a typo, or a class that was too small."""
        if unknown := sorted(set(self.names) - set(classes)):
            print(
                "classifiers.zero_shot.names has labels that no product has, and they change "
                f"nothing: {', '.join(map(repr, unknown))}: correct them, unless their classes "
                "were rejected",
                file=sys.stderr,
            )

    def prompts(self, classes: Collection[str]) -> tuple[str, ...]:
        """Return the prompt of each class."""
        return tuple(self.prompt.replace(LABEL, self.names.get(one, one)) for one in classes)


class Classifier(ArrayClassifier):
    """The vectors of the classes' prompts, and the means that are put back onto vectors."""

    settings: Settings | None
    build_file = "zero_shot.json"

    def fit(
        self, X: Blocks, y: np.ndarray, validation: tuple[Blocks, np.ndarray] | None = None
    ) -> Self:
        """Embed the prompts of the classes in `y`; of X only the means of blocks are kept.

        Raises InputError where the towers' vectors are not of one size, and where the prompts of
        two classes have the same vector.
        """
        assert self.settings is not None
        self.classes_ = sorted(set(y.tolist()))
        blocks = [name for name in self.settings.encoders.values() if name in self.block_weights]
        vectors = _class_vectors(
            paths.weights(self.settings.text_encoder).resolve(),
            self.settings.prompts(self.classes_),
        )
        for name in blocks:
            if X[name].shape[1] != vectors.shape[1]:
                raise InputError(
                    f"{name} gives vectors of {X[name].shape[1]} numbers and "
                    f"{self.settings.text_encoder} of {vectors.shape[1]}: name the two towers of "
                    "one model in params.yaml"
                )
        _, first, numbers = np.unique(vectors, axis=0, return_index=True, return_inverse=True)
        for at, one in enumerate(first[numbers.ravel()]):
            if one != at:
                raise InputError(
                    f"the prompts of {self.classes_[one]} and {self.classes_[at]} have one vector: "
                    "tell them apart by `names` of the classifier zero_shot in params.yaml"
                )
        self._build = {
            "classes": self.classes_,
            "prompts": self.settings.prompts(self.classes_),
            "block_weights": self.block_weights,
            "blocks": blocks,
            "n_features": vectors.shape[1],
            "logit_scale": self.settings.logit_scale,
        }
        self._variables = {"classes": vectors} | {
            mean_key(name): X[mean_key(name)] for name in blocks
        }
        return self

    def predict_proba(self, X: Blocks) -> np.ndarray:
        """Return the probability of each class, float32 of shape (n, len(classes_)).

        A product without any of the vectors gets the same one for each class.
        """
        n = len(next(iter(X.values())))
        cosines = np.zeros((n, len(self.classes_)), dtype=np.float32)
        count = np.zeros((n, 1), dtype=np.float32)
        for name in self._build["blocks"]:
            rows = uncentred(X[name], self._variables[mean_key(name)])
            cosines += rows @ self._variables["classes"].T
            count += rows.any(axis=1, keepdims=True)
        mean = cosines / np.maximum(count, 1)
        return softmax(np.float32(self._build["logit_scale"]) * mean, axis=1)

    @staticmethod
    def block_weights_of(build: Mapping[str, Any]) -> dict[str, float]:
        """Return what each block is multiplied with, by a description."""
        return build["block_weights"]

    @staticmethod
    def shapes_of(build: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and type of each array, by a description."""
        if not set(build["blocks"]) <= set(build["block_weights"]):
            raise ValueError("blocks that it has no weights of")
        float(build["logit_scale"])
        size, kind = build["n_features"], np.dtype(np.float32)
        shapes = {"classes": ((len(build["classes"]), size), kind)}
        return shapes | {mean_key(name): ((size,), kind) for name in build["blocks"]}


@lru_cache
def _class_vectors(folder: Path, prompts: tuple[str, ...]) -> np.ndarray:
    """Return the prompts' vectors; members and folds of the same classes share them."""
    with reproducible(0):
        return encode_texts(folder, prompts)
