"""A multi-layer perceptron in Keras: a branch per block, joined by concatenation (early fusion)."""

import json
import os
from collections import Counter
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from stages.classifiers.base import ClassifierSettings
from stages.common.errors import InputError
from stages.common.files import write_json
from stages.common.keras_weights import restore_variables, save_variables
from stages.common.settings import Positive, PositiveFloat
from stages.fusion.calibration import LEAST
from stages.fusion.features import Features

# With each number of threads TensorFlow rounds differently, and one is what every machine has. Read
# when TensorFlow is imported.
os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"

MODEL_FILE = "model.safetensors"
BUILD_FILE = "network.json"
# Rows of unit length have tiny numbers: a network whose inputs are this long learns in few epochs.
INPUT_LENGTH = 20
STEPS = 64  # of gradient descent in one call
BATCH = 4096  # rows that answers are computed for at a time


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


class MlpModel:
    """A fitted network, what it was built from, and its learning curves."""

    def __init__(self, build: dict[str, Any], network: Any, history: dict[str, list]) -> None:
        self.build = build
        self.network = network
        self.history = history
        self.classes: list[str] = build["classes"]

    def predict_proba(self, features: Features) -> np.ndarray:
        """Return float32 of shape (n, len(classes)): the probability of each class."""
        return _probabilities(self.network, features)

    def save(self, folder: Path) -> None:
        """Write the network's build and its variables into `folder`."""
        write_json(folder / BUILD_FILE, self.build)
        save_variables(self.network, folder / MODEL_FILE)


def fit(settings: Settings, seed: int, train: Features, validation: Features | None) -> MlpModel:
    """Fit on the training products, and stop when the loss on the validation ones stops falling.

    The variables kept are those of the best epoch on validation; without validation products they
    are those of the last of `settings.max_epochs`.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    classes = sorted(set(train.labels.tolist()))
    build = {
        "classes": classes,
        "blocks": {name: rows.shape[1] for name, rows in train.blocks.items()},
        # As weighted in early fusion, at the length that the network is fed.
        "scales": {name: INPUT_LENGTH * train.scales[name] for name in train.blocks},
        "branch_units": settings.branch_units,
        "hidden_units": settings.hidden_units,
        "dropout": settings.dropout,
    }
    network = _network(build)
    network.compile(
        optimizer=keras.optimizers.Adam(settings.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        # Many steps in one call of TensorFlow: a call takes as long as a step of a small network.
        steps_per_execution=min(STEPS, ceil(len(train.labels) / settings.batch_size)),
    )
    callbacks = []
    if validation is not None:
        known = validation.where(np.isin(validation.labels, classes))
        truth = np.arange(len(known.labels)), np.searchsorted(classes, known.labels)

        def validate(epoch: int, logs: dict[str, float]) -> None:
            answers = _probabilities(network, known)
            logs["val_loss"] = float(-np.log(np.maximum(answers[truth], LEAST)).mean())
            logs["val_accuracy"] = float((answers.argmax(axis=1) == truth[1]).mean())

        callbacks = [
            # Not fit()'s validation_data, for which it compiles another function.
            keras.callbacks.LambdaCallback(on_epoch_end=validate),
            keras.callbacks.EarlyStopping(
                monitor="val_loss", patience=settings.patience, restore_best_weights=True
            ),
        ]
    fitted = network.fit(
        train.blocks,
        np.searchsorted(classes, train.labels),
        class_weight=_class_weight(train.labels, classes) if settings.class_weight else None,
        batch_size=settings.batch_size,
        epochs=settings.max_epochs,
        callbacks=callbacks,
        verbose=0,
    )
    names = {
        "train_loss": "loss",
        "validation_loss": "val_loss",
        "train_accuracy": "accuracy",
        "validation_accuracy": "val_accuracy",
    }
    history = {name: fitted.history.get(key, []) for name, key in names.items()}
    return MlpModel(build, network, history)


def load(folder: Path) -> MlpModel:
    """Load what `MlpModel.save` wrote, without its learning curves.

    Raises InputError where something else is in its place.
    """
    path = folder / BUILD_FILE
    try:
        build = json.loads(path.read_bytes())
        network = _network(build)
    except Exception as error:  # whatever Keras stumbles over in a file that is not ours
        raise InputError(
            f"{path} describes no network ({type(error).__name__}): `dvc repro -f` rebuilds it"
        ) from None
    restore_variables(network, folder / MODEL_FILE)
    return MlpModel(build, network, {})


def _probabilities(network: Any, features: Features) -> np.ndarray:
    """Return what a network says of products, float32 of shape (n, classes)."""
    # Not predict(): for each network it compiles a function anew, which takes longer than this.
    parts = [
        np.asarray(network({name: rows[at : at + BATCH] for name, rows in features.blocks.items()}))
        for at in range(0, len(features.labels), BATCH)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, network.output_shape[1]), np.float32)


def _network(build: dict[str, Any]) -> Any:
    """Build the network: a dense branch per block, their concatenation, a hidden layer, classes."""
    from keras import Input, Model, layers

    inputs = {name: Input((size,), name=name) for name, size in build["blocks"].items()}
    branches = []
    for name, block in inputs.items():
        scaled = layers.Rescaling(build["scales"][name], name=f"{name}_scaled")(block)
        branch = layers.Dense(build["branch_units"], activation="relu", name=f"{name}_dense")(
            scaled
        )
        branches.append(layers.Dropout(build["dropout"], name=f"{name}_dropout")(branch))
    joined = branches[0] if len(branches) == 1 else layers.Concatenate(name="joined")(branches)
    # Its averages follow within an epoch or two, or early stopping would judge a network too young.
    normalized = layers.BatchNormalization(momentum=0.9, name="normalized")(joined)
    hidden = layers.Dense(build["hidden_units"], activation="relu", name="hidden")(normalized)
    hidden = layers.Dropout(build["dropout"], name="hidden_dropout")(hidden)
    classes = layers.Dense(len(build["classes"]), activation="softmax", name="classes")(hidden)
    return Model(inputs, classes, name="mlp")


def _class_weight(labels: np.ndarray, classes: list[str]) -> dict[int, float]:
    """Weigh classes by the inverse of their frequency, as scikit-learn's "balanced" does."""
    counts = Counter(labels.tolist())
    return {at: len(labels) / (len(classes) * counts[name]) for at, name in enumerate(classes)}
