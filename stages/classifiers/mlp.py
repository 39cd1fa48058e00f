"""A multi-layer perceptron: a branch per block, concatenated (early fusion).

PyTorch trains it. NumPy predicts, from the same variables, so that nobody needs PyTorch to load a
model and use it.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Self

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
from stages.common.blocks import Blocks
from stages.common.errors import InputError
from stages.common.settings import Positive, PositiveFloat

BATCH = 4096  # rows that probabilities are computed for at a time
NORMALIZATION_EPSILON = 1e-3
# Averages must follow within an epoch or two: early stopping compares the first epochs.
NORMALIZATION_MOMENTUM = 0.1
ADAM_EPSILON = 1e-7
NORMALIZATION = ("gamma", "beta", "moving_mean", "moving_variance")  # its variables


class Settings(ClassifierSettings):
    """A multi-layer perceptron with a branch per encoder."""

    branch_units: Positive
    hidden_units: Positive
    dropout: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: PositiveFloat
    batch_size: Annotated[int, Field(ge=2)]
    max_epochs: Positive
    patience: Positive
    class_weight: ClassWeight

    @property
    def is_slow_to_fit(self) -> bool:
        """Whether a fit takes far longer than to read the features, and one core."""
        return True


class Classifier(ArrayClassifier):
    """A network's variables, what it was built from, and its learning curves."""

    settings: Settings | None
    build_file = "network.json"

    def fit(
        self, X: Blocks, y: np.ndarray, validation: tuple[Blocks, np.ndarray] | None = None
    ) -> Self:
        """Fit on the training products; stop when the loss on validation stops falling.

        The variables of the epoch that is best on validation are kept; without validation products
        those of the last of `settings.max_epochs`. Raises InputError where a loss is no number any
        more.
        """
        assert self.settings is not None
        self.classes_ = sorted(set(y.tolist()))
        self._build = {
            "classes": self.classes_,
            "blocks": {name: X[name].shape[1] for name in self.block_weights},
            # As weighted in early fusion, at the length that the network is fed.
            "scales": {name: INPUT_LENGTH * weight for name, weight in self.block_weights.items()},
            "branch_units": self.settings.branch_units,
            "hidden_units": self.settings.hidden_units,
        }
        self.history_ = new_history()
        with reproducible(self.seed):
            self._train(X, y, validation)
        return self

    def _train(
        self, X: Blocks, y: np.ndarray, validation: tuple[Blocks, np.ndarray] | None
    ) -> None:
        """Train epoch by epoch; leave the variables to keep."""
        import torch

        settings = self.settings
        assert settings is not None
        layers = _layers(self._build)
        trained = [each for layer in layers.values() for each in layer.parameters()]
        step = _adam(trained, settings.learning_rate)
        scales = self._build["scales"]
        blocks = {name: torch.from_numpy(X[name]) for name in scales}
        columns = torch.from_numpy(np.searchsorted(self.classes_, y))
        weights = torch.from_numpy(sample_weights(y, settings.class_weight))
        best_epoch, best_loss, best = 0, math.inf, _variables(layers)
        for epoch in range(settings.max_epochs):
            loss, right = 0.0, 0
            for rows in _batches(len(y), settings.batch_size):
                part = {
                    name: one.index_select(0, rows).mul_(scales[name])
                    for name, one in blocks.items()
                }
                logits = _logits(layers, part, settings.dropout)
                losses = torch.nn.functional.cross_entropy(logits, columns[rows], reduction="none")
                weighted = (losses * weights[rows]).mean()
                step(torch.autograd.grad(weighted, trained))
                loss += weighted.item() * len(rows)
                right += int((logits.argmax(dim=1) == columns[rows]).sum())
            record(self.history_, "train", loss / len(y), right / len(y))
            self._variables = _variables(layers)
            if validation is not None:
                with np.errstate(over="ignore", invalid="ignore"):  # it is said below
                    loss, accuracy = judge(self.predict_proba, self.classes_, *validation)
                record(self.history_, "validation", loss, accuracy)
            if not all(math.isfinite(curve[-1]) for curve in self.history_.values() if curve):
                raise InputError(
                    f"training went astray: in epoch {epoch + 1} a loss is no number; lower the "
                    "classifier's learning_rate"
                )
            if validation is None:
                continue
            if loss < best_loss:
                best_epoch, best_loss, best = epoch, loss, self._variables
            if epoch - best_epoch >= settings.patience:
                break
        if validation is not None:
            self._variables = best

    def predict_proba(self, X: Blocks) -> np.ndarray:
        """Return the probability of each class, float32 of shape (n, len(classes_))."""
        n = len(next(iter(X.values())))
        parts = [
            self._predict({name: X[name][i : i + BATCH] for name in self.block_weights})
            for i in range(0, n, BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes_)), np.float32)

    def _predict(self, X: Blocks) -> np.ndarray:
        """Compute the softmax of `_logits`, without dropout."""
        scales, variables = self._build["scales"], self._variables

        def dense(name: str, rows: np.ndarray) -> np.ndarray:
            return rows @ variables[f"{name}/kernel"] + variables[f"{name}/bias"]

        branches = [
            np.maximum(dense(f"{name}_dense", rows * np.float32(scales[name])), 0)
            for name, rows in X.items()
        ]
        gamma, beta, mean, variance = (variables[f"normalized/{key}"] for key in NORMALIZATION)
        deviation = np.sqrt(variance + np.float32(NORMALIZATION_EPSILON))
        normalized = (np.concatenate(branches, axis=1) - mean) / deviation * gamma + beta
        return softmax(dense("classes", np.maximum(dense("hidden", normalized), 0)), axis=1)

    @staticmethod
    def block_weights_of(build: Mapping[str, Any]) -> dict[str, float]:
        """Return what each block is multiplied with, by a description."""
        return {name: scale / INPUT_LENGTH for name, scale in build["scales"].items()}

    @staticmethod
    def shapes_of(build: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and type of each variable of the network, by a description."""
        blocks, units = build["blocks"], build["branch_units"]
        joined, hidden, classes = units * len(blocks), build["hidden_units"], len(build["classes"])
        layers = {f"{name}_dense": (size, units) for name, size in blocks.items()}
        layers |= {"hidden": (joined, hidden), "classes": (hidden, classes)}
        shapes: dict[str, tuple[int, ...]] = {
            f"{name}/kernel": ends for name, ends in layers.items()
        }
        shapes |= {f"{name}/bias": (end,) for name, (_, end) in layers.items()}
        shapes |= {f"normalized/{key}": (joined,) for key in NORMALIZATION}
        return {name: (shape, np.dtype(np.float32)) for name, shape in shapes.items()}


def _layers(build: Mapping[str, Any]) -> dict[str, Any]:
    """Return the layers of the network by name, with Glorot's uniform kernels."""
    from torch import nn

    blocks, joined = build["blocks"], build["branch_units"] * len(build["blocks"])
    layers: dict[str, Any] = {
        f"{name}_dense": nn.Linear(size, build["branch_units"]) for name, size in blocks.items()
    }
    layers["hidden"] = nn.Linear(joined, build["hidden_units"])
    layers["classes"] = nn.Linear(build["hidden_units"], len(build["classes"]))
    for layer in layers.values():
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    layers["normalized"] = nn.BatchNorm1d(joined, NORMALIZATION_EPSILON, NORMALIZATION_MOMENTUM)
    return layers


def _logits(layers: Mapping[str, Any], blocks: Mapping[str, Any], rate: float) -> Any:
    """Return what the network gives before its softmax, with dropout, float32 (n, classes).

    `blocks` are scaled as in early fusion.
    """
    import torch
    from torch.nn.functional import dropout, relu

    branches = [relu(layers[f"{name}_dense"](rows)) for name, rows in blocks.items()]
    joined = dropout(torch.cat(branches, dim=1), rate)
    hidden = relu(layers["hidden"](layers["normalized"](joined)))
    return layers["classes"](dropout(hidden, rate))


def _adam(parameters: list[Any], learning_rate: float) -> Callable[[Iterable[Any]], None]:
    """Return what takes a step of Adam (Kingma and Ba 2015) down the gradients of parameters.

    PyTorch's class would import its compiler first, which takes longer than a small training.
    """
    import torch
    from torch.optim.adam import adam

    means, squares = ([torch.zeros_like(one) for one in parameters] for _ in range(2))
    steps = [torch.zeros(()) for _ in parameters]
    constants: dict[str, Any] = {
        "lr": learning_rate,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": ADAM_EPSILON,
        "weight_decay": 0,
        "amsgrad": False,
        "maximize": False,
        "fused": True,
    }

    def step(gradients: Iterable[Any]) -> None:
        with torch.no_grad():
            adam(parameters, list(gradients), means, squares, [], steps, **constants)

    return step


def _variables(layers: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return a copy of the layers' variables, as `_shapes` has them."""
    found: dict[str, np.ndarray] = {}
    for name, layer in layers.items():
        if name == "normalized":
            averages = layer.running_mean, layer.running_var
            tensors = zip(NORMALIZATION, (layer.weight, layer.bias, *averages), strict=True)
        else:
            tensors = zip(("kernel", "bias"), (layer.weight.T, layer.bias), strict=True)
        found |= {f"{name}/{key}": tensor.detach().numpy().copy() for key, tensor in tensors}
    return found


def _batches(n: int, batch_size: int) -> tuple[Any, ...]:
    """Return the rows of each batch, in a random order; a batch of one has no deviation."""
    import torch

    return torch.randperm(n).tensor_split(max(min(math.ceil(n / batch_size), n // 2), 1))
