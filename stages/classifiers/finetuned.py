"""A linear layer on all blocks, and the network of a text encoder that is tuned with it.

The blocks are side by side as in early fusion. In place of the encoder's vectors stand those of its
network, whose last layers are trained together with the linear layer, by AdamW (Loshchilov and
Hutter 2019, Decoupled Weight Decay Regularization) at rates that rise and fall. So the network
learns what the other blocks, such as n-grams and images, do not say. PyTorch trains; OpenVINO and
NumPy predict, so that nobody needs PyTorch to use a model.
"""

import math
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field
from scipy.special import softmax

from stages.classifiers.base.arrays import ArrayClassifier
from stages.classifiers.base.epochs import (
    INPUT_LENGTH,
    ClassWeight,
    judge,
    new_history,
    record,
    reproducible,
    sample_weights,
)
from stages.classifiers.base.interface import ClassifierSettings
from stages.classifiers.base.saved_text import SavedText
from stages.classifiers.base.tuned_text import (
    Tokens,
    TunedText,
    batches,
    count_batches,
    rise_and_fall,
)
from stages.common.blocks import Blocks, concatenate, text_key
from stages.common.settings import Positive, PositiveFloat, Slug

WEIGHT_DECAY = 0.01
MAX_GRADIENT = 1.0  # a longer one is cut to this length
JUDGED = 64  # validation products at a time


class Settings(ClassifierSettings):
    """A linear layer, and the network of `encoder`, one of kind huggingface_text, tuned with it.

    Of the network, the last `layers` learn at `learning_rate`; the linear layer learns at
    `head_learning_rate`.
    """

    encoder: Slug = "minilm"
    layers: Positive | Literal["all"] = 3
    learning_rate: PositiveFloat = 1e-4
    head_learning_rate: PositiveFloat = 0.01
    batch_size: Annotated[int, Field(ge=2)] = 32
    max_epochs: Positive = 6
    patience: Positive = 3
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.05
    class_weight: ClassWeight = "sqrt"

    @property
    def reads_texts_of(self) -> str | None:
        """The encoder whose texts the classifier reads itself."""
        return self.encoder


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
        `text_key`. Progress goes to standard error.
        """
        assert self.settings is not None
        tuned = [name for name in self.block_weights if text_key(name) in X]
        self.classes_ = sorted(set(y.tolist()))
        self._build = {
            "classes": self.classes_,
            "block_weights": self.block_weights,
            "tuned": tuned[0] if tuned else None,
        }
        self.history_ = new_history()
        with reproducible(self.seed):
            self._train(self.settings, X, y, validation)
        return self

    def _train(
        self,
        settings: Settings,
        X: Blocks,
        y: np.ndarray,
        validation: tuple[Blocks, np.ndarray] | None,
    ) -> None:
        """Train epoch by epoch; leave the variables and the network to keep."""
        import torch

        text = self._text_to_tune(settings, X)
        frozen, tokens = self._inputs(X, text)
        size = frozen.shape[1] + (text.n_features if text else 0)
        layer = torch.nn.Linear(size, len(self.classes_))
        for parameter in layer.parameters():
            torch.nn.init.zeros_(parameter)
        head, tuned = list(layer.parameters()), text.parameters if text else []
        groups = [
            {"params": head, "lr": settings.head_learning_rate},
            {"params": tuned, "lr": settings.learning_rate},
        ]
        trained = [*head, *tuned]
        optimizer = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)
        steps = settings.max_epochs * count_batches(len(y), settings.batch_size)
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, rise_and_fall(steps))
        columns = torch.from_numpy(np.searchsorted(self.classes_, y))
        weights = torch.from_numpy(sample_weights(y, settings.class_weight))
        lengths = np.array([len(ids) for ids in tokens])
        smoothing = settings.label_smoothing
        best_epoch, best_loss, best = 0, math.inf, _copies(trained)
        for epoch in range(settings.max_epochs):
            start, loss, right = time.monotonic(), 0.0, 0
            for rows in batches(lengths, settings.batch_size):
                logits = layer(self._joined(frozen, tokens, rows, text, is_training=True))
                losses = torch.nn.functional.cross_entropy(
                    logits, columns[rows], reduction="none", label_smoothing=smoothing
                )
                weighted = (losses * weights[rows]).mean()
                optimizer.zero_grad()
                weighted.backward()
                torch.nn.utils.clip_grad_norm_(trained, MAX_GRADIENT)
                optimizer.step()
                rates.step()
                loss += weighted.item() * len(rows)
                right += int((logits.argmax(dim=1) == columns[rows]).sum())
            record(self.history_, "train", loss / len(y), right / len(y))
            if validation is not None:
                found = judge(partial(self._probabilities, layer, text), self.classes_, *validation)
                record(self.history_, "validation", *found)
                if found[0] < best_loss:
                    best_epoch, best_loss, best = epoch, found[0], _copies(trained)
            if text is not None:
                self._say(len(y), time.monotonic() - start)
            if validation is not None and epoch - best_epoch >= settings.patience:
                break
        if validation is not None:
            _restore(trained, best)
        kernel, bias = (one.detach().numpy().copy() for one in (layer.weight.T, layer.bias))
        self._build["n_features"] = size
        self._variables = {"kernel": kernel, "bias": bias}
        self._network = text.saved() if text else None

    def _text_to_tune(self, settings: Settings, X: Blocks) -> TunedText | None:
        """Return the network to tune, loaded; None where no block has texts."""
        if self._build["tuned"] is None:
            return None
        network = X[text_key(self._build["tuned"])].network
        return TunedText(network, None if settings.layers == "all" else settings.layers)

    def _inputs(self, X: Blocks, text: TunedText | None) -> tuple[Any, Tokens]:
        """Return what stays as it is, float32 (n, size), and the tokens of the tuned block."""
        import torch

        tokens: Tokens = [[] for _ in range(len(next(iter(X.values()))))]
        if text is not None:
            tokens = text.tokens(X[text_key(self._build["tuned"])].texts)
        return torch.from_numpy(self._frozen(X)), tokens

    def _frozen(self, X: Blocks) -> np.ndarray:
        """Return the blocks that stay as they are, side by side, float32 of shape (n, size)."""
        scales = {name: INPUT_LENGTH * weight for name, weight in self.block_weights.items()}
        scales.pop(self._build["tuned"], None)
        if not scales:
            return np.zeros((len(next(iter(X.values()))), 0), dtype=np.float32)
        return concatenate(X, scales)

    def _joined(
        self, frozen: Any, tokens: Tokens, rows: Any, text: TunedText | None, is_training: bool
    ) -> Any:
        """Return what the linear layer takes of some products, a tensor of shape (n, size)."""
        import torch

        if text is None:
            return frozen[rows]
        vectors = text.vectors([tokens[row] for row in rows], is_training)
        return torch.cat([frozen[rows], self._tuned_scale * vectors], dim=1)

    @property
    def _tuned_scale(self) -> float:
        """What the tuned network's vectors are multiplied with."""
        return INPUT_LENGTH * self.block_weights[self._build["tuned"]]

    def _probabilities(self, layer: Any, text: TunedText | None, X: Blocks) -> np.ndarray:
        """Return the probabilities of products while the network is trained."""
        import torch

        frozen, tokens = self._inputs(X, text)
        order = np.argsort([len(ids) for ids in tokens], kind="stable")
        found = np.empty((len(tokens), len(self.classes_)), dtype=np.float32)
        with torch.no_grad():
            for start in range(0, len(order), JUDGED):
                rows = order[start : start + JUDGED]
                logits = layer(self._joined(frozen, tokens, rows, text, is_training=False))
                found[rows] = logits.softmax(dim=1).numpy()
        return found

    def _say(self, n: int, seconds: float) -> None:
        """Say on standard error how the last epoch went."""
        curves = {name: values[-1] for name, values in self.history_.items() if values}
        parts = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in curves.items())
        done = len(self.history_["train_loss"])
        print(f"tuning on {n:,} products, epoch {done}, {seconds:.0f} s: {parts}", file=sys.stderr)

    def predict_proba(self, X: Blocks) -> np.ndarray:
        """Return the probability of each class, float32 of shape (n, len(classes_))."""
        rows = self._frozen(X)
        if self._network is not None:
            vectors = self._network.encode(X[text_key(self._build["tuned"])].texts.tolist())
            rows = np.hstack([rows, np.float32(self._tuned_scale) * vectors])
        return softmax(rows @ self._variables["kernel"] + self._variables["bias"], axis=1)

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
        if build["tuned"] not in (None, *build["block_weights"]):
            raise ValueError("no block is tuned")
        shapes = {
            "kernel": (build["n_features"], len(build["classes"])),
            "bias": (len(build["classes"]),),
        }
        return {name: (shape, np.dtype(np.float32)) for name, shape in shapes.items()}


def _copies(parameters: list[Any]) -> list[Any]:
    return [one.detach().clone() for one in parameters]


def _restore(parameters: list[Any], kept: list[Any]) -> None:
    """Give parameters the values that were kept."""
    import torch

    with torch.no_grad():
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(value)
