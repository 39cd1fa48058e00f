"""A multi-layer perceptron: a branch per block, concatenated (early fusion).

Keras trains it. NumPy predicts, from the same variables, so that nobody needs TensorFlow to load a
model and use it.
"""

import json
import os
from collections.abc import Callable, Mapping
from math import ceil
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field
from scipy.special import softmax

from stages.classifiers.base import ClassifierSettings
from stages.common.blocks import Blocks
from stages.common.errors import InputError
from stages.common.files import write_json
from stages.common.keras_weights import import_keras, load_variables, save_variables, variables_of
from stages.common.settings import Positive, PositiveFloat

MODEL_FILE = "model.safetensors"
BUILD_FILE = "network.json"
# Rows of unit length have tiny numbers: a network whose inputs are this long learns in few epochs.
INPUT_LENGTH = 20
STEPS = 64  # of gradient descent in one call
BATCH = 4096  # rows that probabilities are computed for at a time
NORMALIZATION_EPSILON = 1e-3
EPSILON = 1e-7  # the smallest probability that a loss takes the logarithm of
CURVES = {
    "train_loss": "loss",
    "validation_loss": "val_loss",
    "train_accuracy": "accuracy",
    "validation_accuracy": "val_accuracy",
}


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
        settings, keras = self.settings, _single_threaded_keras()
        import tensorflow as tf

        keras.utils.set_random_seed(self.seed)
        tf.config.experimental.enable_op_determinism()
        self.classes_ = sorted(set(y.tolist()))
        self._build = {
            "classes": self.classes_,
            "blocks": {name: X[name].shape[1] for name in self.block_weights},
            # As weighted in early fusion, at the length that the network is fed.
            "scales": {name: INPUT_LENGTH * weight for name, weight in self.block_weights.items()},
            "branch_units": settings.branch_units,
            "hidden_units": settings.hidden_units,
            "dropout": settings.dropout,
        }
        network = _network(self._build)
        network.compile(
            optimizer=keras.optimizers.Adam(settings.learning_rate),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
            # Many steps in one call of TensorFlow: a call takes as long as a step of a small
            # network.
            steps_per_execution=min(STEPS, ceil(len(y) / settings.batch_size)),
        )
        callbacks = []
        if validation is not None:
            callbacks = [
                # Not fit()'s validation_data, for which it compiles another function.
                keras.callbacks.LambdaCallback(on_epoch_end=self._validator(network, *validation)),
                keras.callbacks.EarlyStopping(
                    monitor="val_loss", patience=settings.patience, restore_best_weights=True
                ),
            ]
        fitted = network.fit(
            {name: X[name] for name in self.block_weights},
            np.searchsorted(self.classes_, y),
            class_weight=_class_weight(y, self.classes_) if settings.class_weight else None,
            batch_size=settings.batch_size,
            epochs=settings.max_epochs,
            callbacks=callbacks,
            verbose=0,
        )
        self._variables = variables_of(network)
        self.history_ = {name: fitted.history.get(key, []) for name, key in CURVES.items()}
        return self

    def _validator(
        self, network: Any, X: Blocks, y: np.ndarray
    ) -> Callable[[int, dict[str, float]], None]:
        """Return what adds the loss and accuracy on validation to an epoch's logs."""
        known = np.isin(y, self.classes_)
        if not known.all():
            X, y = {name: rows[known] for name, rows in X.items()}, y[known]
        columns = np.searchsorted(self.classes_, y)

        def validate(epoch: int, logs: dict[str, float]) -> None:
            self._variables = variables_of(network)
            probabilities = self.predict_proba(X)
            of_label = probabilities[np.arange(len(y)), columns]
            logs["val_loss"] = float(-np.log(np.maximum(of_label, EPSILON)).mean())
            logs["val_accuracy"] = float((probabilities.argmax(axis=1) == columns).mean())

        return validate

    def predict_proba(self, X: Blocks) -> np.ndarray:
        """Return the probability of each class, float32 of shape (n, len(classes_))."""
        n = len(next(iter(X.values())))
        parts = [
            self._predict({name: X[name][i : i + BATCH] for name in self.block_weights})
            for i in range(0, n, BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes_)), np.float32)

    def _predict(self, X: Blocks) -> np.ndarray:
        """Compute what `_network` describes, without dropout."""
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


def _single_threaded_keras() -> ModuleType:
    """Import Keras with one thread, unless TensorFlow was imported before."""
    # With each number of threads TensorFlow rounds differently, and one is what every machine has.
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    return import_keras()


def _shapes(build: dict[str, Any]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Return the shape and type of each variable of the network that `_network` builds."""
    blocks, units = build["blocks"], build["branch_units"]
    joined, hidden, classes = units * len(blocks), build["hidden_units"], len(build["classes"])
    layers = {f"{name}_dense": (size, units) for name, size in blocks.items()}
    layers |= {"hidden": (joined, hidden), "classes": (hidden, classes)}
    shapes: dict[str, tuple[int, ...]] = {f"{name}/kernel": ends for name, ends in layers.items()}
    shapes |= {f"{name}/bias": (end,) for name, (_, end) in layers.items()}
    keys = ("gamma", "beta", "moving_mean", "moving_variance")
    shapes |= {f"normalized/{key}": (joined,) for key in keys}
    return {name: (shape, np.dtype(np.float32)) for name, shape in shapes.items()}


def _network(build: dict[str, Any]) -> Any:
    """Build the network: a dense branch per block, their concatenation, a hidden layer, classes."""
    keras = _single_threaded_keras()
    layers = keras.layers
    inputs = {name: keras.Input((size,), name=name) for name, size in build["blocks"].items()}
    branches = []
    for name, block in inputs.items():
        scaled = layers.Rescaling(build["scales"][name], name=f"{name}_scaled")(block)
        branch = layers.Dense(build["branch_units"], activation="relu", name=f"{name}_dense")(
            scaled
        )
        branches.append(layers.Dropout(build["dropout"], name=f"{name}_dropout")(branch))
    joined = branches[0] if len(branches) == 1 else layers.Concatenate(name="joined")(branches)
    # Its averages must follow within an epoch or two: early stopping compares the first epochs.
    normalized = layers.BatchNormalization(
        momentum=0.9, epsilon=NORMALIZATION_EPSILON, name="normalized"
    )(joined)
    hidden = layers.Dense(build["hidden_units"], activation="relu", name="hidden")(normalized)
    hidden = layers.Dropout(build["dropout"], name="hidden_dropout")(hidden)
    classes = layers.Dense(len(build["classes"]), activation="softmax", name="classes")(hidden)
    return keras.Model(inputs, classes, name="mlp")


def _class_weight(y: np.ndarray, classes: list[str]) -> dict[int, float]:
    """Weigh classes by the inverse of their frequency, as scikit-learn's "balanced" does."""
    from sklearn.utils.class_weight import compute_class_weight

    weights = compute_class_weight("balanced", classes=np.array(classes), y=y)
    return dict(enumerate(weights.tolist()))
