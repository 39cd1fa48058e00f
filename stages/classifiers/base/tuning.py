"""Tune a network to products, together with a linear layer on it, by PyTorch."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from scipy.special import softmax

from stages.classifiers.base.checkpoints import Checkpoint
from stages.classifiers.base.contrastive import supervised_contrastive
from stages.classifiers.base.epochs import INPUT_LENGTH, History, judge
from stages.classifiers.base.partly_trained import PartlyTrained
from stages.classifiers.base.saved_network import SavedNetwork
from stages.classifiers.base.training_loop import LoopSettings, train_epochs

JUDGED = 64  # validation products at a time

Precision = Literal["auto", "float32", "bfloat16"]
Labeled = tuple[Sequence[Any], np.ndarray]  # inputs, and labels of shape (n,)


class TunedNetwork(Protocol):
    """A network while PyTorch trains it; `what` it reads, in messages."""

    what: str
    n_features: int
    trained: PartlyTrained

    def prepare(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Return what `vectors` takes of each input."""

    def lengths(self, prepared: Sequence[Any]) -> np.ndarray:
        """Return the lengths by which inputs are sorted into batches, of shape (n,)."""

    def vectors(self, prepared: Sequence[Any], is_training: bool) -> Any:
        """Return a tensor of shape (n, n_features), rows of unit length."""

    def saved(self) -> SavedNetwork:
        """Return the network as it is saved and predicts."""


class HeadSettings(LoopSettings, Protocol):
    """What settings of a classifier say of a network and the linear layer on it."""

    learning_rate: float
    head_learning_rate: float
    contrastive: float
    precision: Precision


def tune(
    settings: HeadSettings,
    classes: Sequence[str],
    network: TunedNetwork,
    train: Labeled,
    validation: Labeled | None,
    device: str = "cpu",
    checkpoint: Path | None = None,
) -> tuple[dict[str, np.ndarray], History]:
    """Tune a network that is on cpu or cuda; return the linear layer's variables, and the curves.

    The state is written to the file `checkpoint` from time to time; where it was written before,
    training goes on from there. Progress goes to standard error: a bar for each epoch, and a line
    once it is done.
    """
    import torch
    from tqdm import tqdm

    inputs, y = train
    layer = _linear(network.n_features, len(classes)).to(device)
    prepared = network.prepare(inputs)
    columns = torch.from_numpy(np.searchsorted(classes, y)).to(device)
    bar = tqdm(
        total=len(y) + (len(validation[1]) if validation is not None else 0),
        desc=f"tuning on {len(y):,} {network.what}",
        unit=f" {network.what}",
        mininterval=1,
        leave=False,
    )

    is_bfloat16 = uses_bfloat16(settings.precision, device)

    def vectors_of(chosen: Sequence[Any], is_training: bool) -> Any:
        with torch.autocast(device, torch.bfloat16, enabled=is_bfloat16):
            vectors = network.vectors(chosen, is_training)
        bar.update(len(chosen))
        return vectors.float()

    def outputs(rows: np.ndarray) -> tuple[Any, Any]:
        vectors = vectors_of([prepared[row] for row in rows], True)
        added = 0.0
        if settings.contrastive:
            added = settings.contrastive * supervised_contrastive(vectors, columns[rows])
        return layer(INPUT_LENGTH * vectors), added

    def logits(chosen: Sequence[Any]) -> Any:
        return layer(INPUT_LENGTH * vectors_of(chosen, False))

    judged = None
    if validation is not None:
        held_out, labels = validation
        prepared_held_out = network.prepare(held_out)
        order = np.argsort(network.lengths(prepared_held_out), kind="stable")
        judged = partial(_judge, logits, prepared_held_out, order, labels, list(classes))
    with bar:
        history = train_epochs(
            settings,
            [
                {"params": list(layer.parameters()), "lr": settings.head_learning_rate},
                {"params": network.trained.parameters, "lr": settings.learning_rate},
            ],
            outputs,
            network.lengths(prepared),
            y,
            classes,
            judged,
            partial(_say, bar, time.monotonic()),
            None if checkpoint is None else Checkpoint(checkpoint, network.trained, device),
        )
    return variables_of(layer), history


def uses_bfloat16(precision: Precision, device: str) -> bool:
    """Return whether the network computes in bfloat16: with auto, on a GPU that has it."""
    import torch

    if precision == "auto":
        return device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bfloat16"


def tune_head(
    settings: HeadSettings,
    classes: list[str],
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray] | None,
    start: Mapping[str, np.ndarray] | None,
    augmented: Callable[[Any], Any] = lambda rows: rows,
) -> tuple[dict[str, np.ndarray], History]:
    """Train a linear layer on rows, float32 of shape (n, size), and their labels, str (n,).

    `start` are the variables of one on the last columns of the rows, from which it goes on.
    `augmented` gives what it learns from in place of some rows, a tensor of shape (k, size). Return
    the variables, and the curves.
    """
    import torch

    rows = torch.from_numpy(train[0])
    layer = _linear(rows.shape[1], len(classes))
    if start is not None:
        with torch.no_grad():
            layer.weight[:, -len(start["kernel"]) :] = torch.from_numpy(start["kernel"].T)
            layer.bias.copy_(torch.from_numpy(start["bias"]))
    judged = None
    if validation is not None:
        held_out, labels = validation

        def judged() -> tuple[float, float]:
            return judge(
                lambda X: class_probabilities(variables_of(layer), X["rows"]),
                classes,
                {"rows": held_out},
                labels,
            )

    history = train_epochs(
        settings,
        [{"params": list(layer.parameters()), "lr": settings.head_learning_rate}],
        lambda chosen: (layer(augmented(rows[chosen])), 0),
        np.zeros(len(rows)),
        train[1],
        classes,
        judged,
        lambda history: None,
    )
    return variables_of(layer), history


def class_probabilities(variables: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Return what a linear layer says of rows, float32 of shape (n, classes)."""
    return softmax(rows @ variables["kernel"] + variables["bias"], axis=1)


def variables_of(layer: Any) -> dict[str, np.ndarray]:
    """Return a copy of a linear layer's variables."""
    return {
        "kernel": layer.weight.detach().cpu().numpy().T.copy(),
        "bias": layer.bias.detach().cpu().numpy().copy(),
    }


def _judge(
    logits: Callable[[Sequence[Any]], Any],
    prepared: Sequence[Any],
    order: np.ndarray,
    y: np.ndarray,
    classes: list[str],
) -> tuple[float, float]:
    """Return the loss and the accuracy on validation products, which are judged in an order."""
    import torch

    found = np.empty((len(prepared), len(classes)), dtype=np.float32)
    with torch.no_grad():
        for start in range(0, len(order), JUDGED):
            rows = order[start : start + JUDGED]
            found[rows] = logits([prepared[row] for row in rows]).softmax(dim=1).cpu().numpy()
    return judge(lambda X: X["found"], classes, {"found": found}, y)


def _say(bar: Any, start: float, history: History) -> None:
    """Say on standard error how the last epoch went, and start the bar of the next."""
    curves = {name.replace("_", " "): values[-1] for name, values in history.items() if values}
    parts = ", ".join(f"{name} {value:.4f}" for name, value in curves.items())
    done, seconds = len(history["train_loss"]), time.monotonic() - start
    bar.reset()
    bar.write(f"{bar.desc}, epoch {done}, {seconds:.0f} s: {parts}", file=sys.stderr)


def _linear(size: int, n_classes: int) -> Any:
    """Return a linear layer of zeros."""
    import torch

    layer = torch.nn.Linear(size, n_classes)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    return layer
