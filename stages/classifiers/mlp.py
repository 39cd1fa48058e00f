"""A multi-layer perceptron: a branch per block, concatenated (early fusion).

PyTorch trains it. NumPy predicts, from the same variables, so that nobody needs PyTorch to load a
model and use it.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field
from scipy.special import softmax

from stages.classifiers.base import ClassifierSettings
from stages.common.blocks import Blocks
from stages.common.errors import InputError
from stages.common.files import write_json
from stages.common.keras_weights import load_variables, save_variables
from stages.common.settings import Positive, PositiveFloat

MODEL_FILE = "model.safetensors"
BUILD_FILE = "network.json"
# Rows of unit length have tiny numbers: a network whose inputs are this long learns in few epochs.
INPUT_LENGTH = 20
BATCH = 4096  # rows that probabilities are computed for at a time
NORMALIZATION_EPSILON = 1e-3
# Averages must follow within an epoch or two: early stopping compares the first epochs.
NORMALIZATION_RATE = 0.1
ADAM_EPSILON = 1e-7
EPSILON = 1e-7  # the smallest probability that a loss takes the logarithm of
AVERAGES = ("normalized/moving_mean", "normalized/moving_variance")
CURVES = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")


class Settings(ClassifierSettings):
    """A multi-layer perceptron with a branch per encoder."""

    branch_units: Positive
    hidden_units: Positive
    dropout: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: PositiveFloat
    batch_size: Annotated[int, Field(ge=2)]
    max_epochs: Positive
    patience: Positive
    class_weight: Literal["balanced"] | None


class Classifier:
    """A network's variables, what it was built from, and its learning curves."""

    def __init__(
        self, settings: Settings | None, seed: int, block_weights: Mapping[str, float]
    ) -> None:
        """Take the settings; a classifier that was loaded has none."""
        self.settings = settings
        self.seed = seed
        self.block_weights = dict(block_weights)
        self.classes_: list[str] = []
        self.history_: dict[str, list[float]] = {}
        self._build: dict[str, Any] = {}
        self._variables: dict[str, np.ndarray] = {}

    def fit(
        self, X: Blocks, y: np.ndarray, validation: tuple[Blocks, np.ndarray] | None = None
    ) -> Self:
        """Fit on the training products; stop when the loss on validation stops falling.

        The variables of the epoch that is best on validation are kept; without validation products
        those of the last of `settings.max_epochs`.
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
            "dropout": self.settings.dropout,
        }
        self.history_ = {name: [] for name in CURVES}
        with _one_thread():
            network = _Network(self._build, self.settings.learning_rate, self.seed)
            # They share memory: what is trained is what predicts for the validation products.
            self._variables = {name: one.numpy() for name, one in network.variables.items()}
            self._train(network, X, y, validation)
        return self

    def _train(
        self,
        network: "_Network",
        X: Blocks,
        y: np.ndarray,
        validation: tuple[Blocks, np.ndarray] | None,
    ) -> None:
        """Train epoch by epoch; leave the network with the variables to keep."""
        assert self.settings is not None
        weights = _sample_weights(y, self.settings.class_weight)
        columns = np.searchsorted(self.classes_, y)
        best_epoch, best_loss, best_values = 0, math.inf, network.values
        for epoch in range(self.settings.max_epochs):
            curves = network.train_epoch(X, columns, weights, self.settings.batch_size)
            self._record("train", *curves)
            if validation is None:
                continue
            loss, accuracy = self._judge(*validation)
            self._record("validation", loss, accuracy)
            if loss < best_loss:
                best_epoch, best_loss, best_values = epoch, loss, network.values.clone()
            if epoch - best_epoch >= self.settings.patience:
                break
        network.values.copy_(best_values)

    def _record(self, part: str, loss: float, accuracy: float) -> None:
        self.history_[f"{part}_loss"].append(loss)
        self.history_[f"{part}_accuracy"].append(accuracy)

    def _judge(self, X: Blocks, y: np.ndarray) -> tuple[float, float]:
        """Return the loss and the accuracy on those products whose classes are known."""
        known = np.isin(y, self.classes_)
        if not known.all():
            X, y = {name: rows[known] for name, rows in X.items()}, y[known]
        columns = np.searchsorted(self.classes_, y)
        probabilities = self.predict_proba(X)
        of_label = probabilities[np.arange(len(y)), columns]
        loss = -np.log(np.maximum(of_label, EPSILON)).mean()
        return float(loss), float((probabilities.argmax(axis=1) == columns).mean())

    def predict_proba(self, X: Blocks) -> np.ndarray:
        """Return the probability of each class, float32 of shape (n, len(classes_))."""
        n = len(next(iter(X.values())))
        parts = [
            self._predict({name: X[name][i : i + BATCH] for name in self.block_weights})
            for i in range(0, n, BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes_)), np.float32)

    def _predict(self, X: Blocks) -> np.ndarray:
        """Compute what `_Network` trains, without dropout."""
        scales, variables = self._build["scales"], self._variables

        def dense(name: str, rows: np.ndarray) -> np.ndarray:
            return rows @ variables[f"{name}/kernel"] + variables[f"{name}/bias"]

        branches = [
            np.maximum(dense(f"{name}_dense", rows * np.float32(scales[name])), 0)
            for name, rows in X.items()
        ]
        gamma, beta, mean, variance = (
            variables[f"normalized/{key}"]
            for key in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        deviation = np.sqrt(variance + np.float32(NORMALIZATION_EPSILON))
        normalized = (np.concatenate(branches, axis=1) - mean) / deviation * gamma + beta
        return softmax(dense("classes", np.maximum(dense("hidden", normalized), 0)), axis=1)

    def save(self, folder: Path) -> None:
        """Write what the network is built from and its variables into `folder`."""
        write_json(folder / BUILD_FILE, self._build)
        save_variables(self._variables, folder / MODEL_FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load what `save` wrote, to predict with it; raises InputError for any other content."""
        path = folder / BUILD_FILE
        try:
            build = json.loads(path.read_bytes())
            weights = {name: scale / INPUT_LENGTH for name, scale in build["scales"].items()}
            classifier = cls(None, 0, weights)
            classifier._build, classifier.classes_ = build, build["classes"]
            shapes = _shapes(build)
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            RecursionError,
            OSError,
        ) as error:
            raise InputError(
                f"{path} describes no network ({type(error).__name__}): `dvc repro -f` rebuilds it"
            ) from None
        classifier._variables = load_variables(folder / MODEL_FILE, shapes)
        return classifier


def _shapes(build: dict[str, Any]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Return the shape and type of each variable of the network."""
    blocks, units = build["blocks"], build["branch_units"]
    joined, hidden, classes = units * len(blocks), build["hidden_units"], len(build["classes"])
    layers = {f"{name}_dense": (size, units) for name, size in blocks.items()}
    layers |= {"hidden": (joined, hidden), "classes": (hidden, classes)}
    shapes: dict[str, tuple[int, ...]] = {f"{name}/kernel": ends for name, ends in layers.items()}
    shapes |= {f"{name}/bias": (end,) for name, (_, end) in layers.items()}
    keys = ("gamma", "beta", "moving_mean", "moving_variance")
    shapes |= {f"normalized/{key}": (joined,) for key in keys}
    return {name: (shape, np.dtype(np.float32)) for name, shape in shapes.items()}


class _Outputs(NamedTuple):
    """What layers gave for a batch, as far as gradients need it: tensors of float32."""

    joined: Any
    unit: Any  # joined, with mean 0 and deviation 1
    deviation: Any
    normalized: Any
    hidden: Any


class _Network:
    """The network that `Classifier._predict` computes, in PyTorch, and gradient descent on it.

    The gradients are written out, as autograd takes a fifth of the time of such a small network.
    All variables are views of `values`, float32 (n,), so that Adam trains them as one.
    """

    def __init__(self, build: dict[str, Any], learning_rate: float, seed: int) -> None:
        """Draw the variables as Keras does: Glorot's uniform kernels, biases of zero."""
        import torch

        self._scales, self._dropout = build["scales"], build["dropout"]
        self._random = torch.Generator().manual_seed(seed)
        shapes = {name: shape for name, (shape, _) in _shapes(build).items()}
        averages = {name: shapes.pop(name) for name in AVERAGES}
        n_trained = sum(map(math.prod, shapes.values()))
        self.values = torch.zeros(n_trained + sum(map(math.prod, averages.values())))
        self.variables = _views(self.values, shapes | averages)
        for name, variable in self.variables.items():
            if name.endswith("/kernel"):
                limit = math.sqrt(6 / sum(variable.shape))
                variable.uniform_(-limit, limit, generator=self._random)
        for name in ("normalized/gamma", "normalized/moving_variance"):
            self.variables[name].fill_(1)
        trained = self.values[:n_trained]
        gradient = torch.zeros_like(trained)
        self._gradients = _views(gradient, shapes)
        self._descend = _adam(trained, gradient, learning_rate)

    def train_epoch(
        self, X: Blocks, columns: np.ndarray, weights: np.ndarray, batch_size: int
    ) -> tuple[float, float]:
        """Train on all products once, in a random order; return their loss and accuracy.

        `columns`, int64 (n,), are those of the products' classes; `weights`, float32 (n,), say how
        much each product counts.
        """
        import torch

        given = [torch.from_numpy(X[name]) for name in self._scales]
        given += [torch.from_numpy(columns), torch.from_numpy(weights)]
        # Memory that is new in each step takes as long as a small block's multiplication.
        places = [one.new_empty((batch_size, *one.shape[1:])) for one in given]
        loss, n_right = 0.0, 0.0
        for rows in torch.randperm(len(columns), generator=self._random).split(batch_size):
            *blocks, at, weight = (
                torch.index_select(one, 0, rows, out=place[: len(rows)])
                for one, place in zip(given, places, strict=True)
            )
            of_batch, right = self._step(blocks, at, weight)
            loss, n_right = loss + of_batch, n_right + right
        return loss / len(columns), n_right / len(columns)

    def _step(self, blocks: list[Any], columns: Any, weights: Any) -> tuple[float, float]:
        """Take a step on a batch; return the sum of its losses, and how many it had right."""
        import torch

        outputs = self._forward(blocks)
        logs = torch.log_softmax(self._dense("classes", outputs.hidden), dim=1)
        each = torch.arange(len(columns))
        loss = -torch.dot(logs[each, columns], weights)
        n_right = (logs.argmax(dim=1) == columns).sum()
        gradient = logs.exp()
        gradient[each, columns] -= 1
        gradient.mul_((weights / len(columns))[:, None])
        self._backward(blocks, outputs, gradient)
        self._descend()
        return loss.item(), n_right.item()

    def _forward(self, blocks: list[Any]) -> "_Outputs":
        """Compute all layers but the last."""
        import torch

        branches = [
            self._dense(f"{name}_dense", rows, scale)
            for (name, scale), rows in zip(self._scales.items(), blocks, strict=True)
        ]
        joined = self._activate(torch.cat(branches, dim=1))
        unit, deviation = self._normalize(joined)
        beta, gamma = self.variables["normalized/beta"], self.variables["normalized/gamma"]
        normalized = torch.addcmul(beta, unit, gamma)
        hidden = self._activate(self._dense("hidden", normalized))
        return _Outputs(joined, unit, deviation, normalized, hidden)

    def _backward(self, blocks: list[Any], outputs: "_Outputs", gradient: Any) -> None:
        """Write the gradients of all layers, of which the last has this one before its softmax."""
        joined, unit, deviation, normalized, hidden = outputs
        self._keep_gradients("classes", hidden, gradient)
        gradient = self._deactivate(hidden, gradient @ self.variables["classes/kernel"].T)
        self._keep_gradients("hidden", normalized, gradient)
        gradient = self._denormalize(unit, deviation, gradient @ self.variables["hidden/kernel"].T)
        parts = self._deactivate(joined, gradient).chunk(len(blocks), dim=1)
        for (name, scale), rows, part in zip(self._scales.items(), blocks, parts, strict=True):
            self._keep_gradients(f"{name}_dense", rows, part, scale)

    def _dense(self, name: str, rows: Any, scale: float = 1.0) -> Any:
        """Apply a dense layer to rows, which are scaled on the way."""
        import torch

        bias, kernel = self.variables[f"{name}/bias"], self.variables[f"{name}/kernel"]
        return torch.addmm(bias, rows, kernel, alpha=scale)

    def _keep_gradients(self, name: str, rows: Any, gradient: Any, scale: float = 1.0) -> None:
        """Write a dense layer's gradients to where Adam finds them."""
        import torch

        self._gradients[f"{name}/kernel"].addmm_(rows.T, gradient, beta=0, alpha=scale)
        torch.sum(gradient, dim=0, out=self._gradients[f"{name}/bias"])

    def _activate(self, rows: Any) -> Any:
        """Apply ReLU and dropout, in place."""
        import torch

        kept = torch.rand(rows.shape, generator=self._random).ge_(self._dropout)
        return rows.relu_().mul_(kept).div_(1 - self._dropout)

    def _deactivate(self, rows: Any, gradient: Any) -> Any:
        """Turn the gradient of what `_activate` returned, `rows`, into that of what it took."""
        return gradient.mul_(rows.sign()).div_(1 - self._dropout)

    def _normalize(self, rows: Any) -> tuple[Any, Any]:
        """Return rows of mean 0 and deviation 1, and their deviation; update the averages."""
        mean = rows.mean(dim=0)
        centred = rows - mean
        variance = centred.square().mean(dim=0)
        for name, found in zip(AVERAGES, (mean, variance), strict=True):
            self.variables[name].lerp_(found, NORMALIZATION_RATE)
        deviation = (variance + NORMALIZATION_EPSILON).sqrt_()
        return centred.div_(deviation), deviation

    def _denormalize(self, unit: Any, deviation: Any, gradient: Any) -> Any:
        """Turn the gradient of normalised rows into that of the rows that `_normalize` took."""
        import torch

        of_beta, of_gamma = (self._gradients[f"normalized/{key}"] for key in ("beta", "gamma"))
        torch.sum(gradient, dim=0, out=of_beta)
        torch.sum(gradient * unit, dim=0, out=of_gamma)
        # Each row moves the mean and the deviation of its batch too.
        moved = (of_beta + unit * of_gamma).div_(len(unit))
        return gradient.sub_(moved).mul_(self.variables["normalized/gamma"] / deviation)


def _views(values: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return views of a tensor of shape (n,), one after the other, by their names."""
    parts = values.split([math.prod(shape) for shape in shapes.values()])
    return {
        name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }


def _adam(values: Any, gradient: Any, learning_rate: float) -> Callable[[], None]:
    """Return what takes a step of Adam, with the defaults of Keras, on a tensor of shape (n,)."""
    import torch

    # Not the class torch.optim.Adam: it imports PyTorch's compiler, which takes over a second.
    from torch.optim.adam import adam

    moments = [torch.zeros_like(values)], [torch.zeros_like(values)]
    return partial(
        adam,
        [values],
        [gradient],
        *moments,
        max_exp_avg_sqs=[],
        state_steps=[torch.zeros(())],
        fused=True,
        amsgrad=False,
        beta1=0.9,
        beta2=0.999,
        lr=learning_rate,
        weight_decay=0.0,
        eps=ADAM_EPSILON,
        maximize=False,
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let PyTorch use one thread, as with each number of threads it rounds differently."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _sample_weights(y: np.ndarray, class_weight: str | None) -> np.ndarray:
    """Return how much each product counts, float32 (n,); "balanced" as in scikit-learn."""
    from sklearn.utils.class_weight import compute_sample_weight

    return compute_sample_weight(class_weight, y).astype(np.float32)
