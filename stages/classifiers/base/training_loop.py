"""Training in epochs by AdamW, at rates that rise and then fall to zero.

AdamW: Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization.
"""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from stages.classifiers.base.checkpoints import Checkpoint
from stages.classifiers.base.epochs import (
    ClassWeight,
    History,
    new_history,
    record,
    sample_weights,
)
from stages.common.errors import InputError

WARM_UP = 0.1  # the share of steps in which learning rates rise
SORTED_BATCHES = 16  # batches whose texts are sorted by length, so that little is padded
WEIGHT_DECAY = 0.01
MAX_GRADIENT = 1.0  # a longer one is cut to this length


class LoopSettings(Protocol):
    """What settings of a classifier say of its training."""

    batch_size: int
    max_epochs: int
    patience: int | None
    label_smoothing: float
    class_weight: ClassWeight


def train_epochs(
    settings: LoopSettings,
    groups: Sequence[dict[str, Any]],
    outputs: Callable[[np.ndarray], tuple[Any, Any]],
    lengths: np.ndarray,
    y: np.ndarray,
    classes: Sequence[str],
    judged: Callable[[], tuple[float, float]] | None,
    say: Callable[[History], None],
    checkpoint: Checkpoint | None = None,
) -> History:
    """Train the parameters of `groups`, each with its rate; return the curves.

    `outputs` gives logits, a tensor of shape (k, classes), for k rows of the n products, and what
    is added to their loss, which the curves leave out. The texts have `lengths` and the labels are
    `y`, both of shape (n,). `judged` returns the loss and the accuracy on validation products, for
    the curves. The last of `max_epochs` is kept; but with `judged` and a `patience`, the epoch of
    the least loss, and training stops `patience` epochs after it. `say` is called after each epoch.
    With a `checkpoint`, a run that was killed goes on from the epoch that was written last. Raises
    InputError where a loss is no number any more.
    """
    import torch

    trained = [parameter for group in groups for parameter in group["params"]]
    optimizer = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY, fused=True)
    steps = settings.max_epochs * count_batches(len(y), settings.batch_size)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, rise_and_fall(steps))
    device = trained[0].device
    columns = torch.from_numpy(np.searchsorted(classes, y)).to(device)
    weights = torch.from_numpy(sample_weights(y, settings.class_weight)).to(device)
    history = new_history()
    patience = None if judged is None else settings.patience
    best_epoch, best_loss, best = 0, math.inf, _copies(() if patience is None else trained)
    if checkpoint is not None and (state := checkpoint.read()) is not None:
        _overwrite(trained, state["trained"])
        optimizer.load_state_dict(state["optimizer"])
        rates.load_state_dict(state["rates"])
        history, (best_epoch, best_loss, best) = state["history"], state["best"]
        done = len(history["train_loss"])
        tqdm.write(f"training that was stopped goes on after epoch {done}", file=sys.stderr)
    for epoch in range(len(history["train_loss"]), settings.max_epochs):
        if patience is not None and epoch > best_epoch + patience:
            break
        loss, right = 0.0, 0
        for rows in batches(lengths, settings.batch_size):
            found, added = outputs(rows)
            losses = torch.nn.functional.cross_entropy(
                found, columns[rows], reduction="none", label_smoothing=settings.label_smoothing
            )
            weighted = (losses * weights[rows]).mean()
            optimizer.zero_grad()
            (weighted + added).backward()
            torch.nn.utils.clip_grad_norm_(trained, MAX_GRADIENT)
            optimizer.step()
            rates.step()
            loss += weighted.item() * len(rows)
            right += int((found.argmax(dim=1) == columns[rows]).sum())
        record(history, "train", loss / len(y), right / len(y))
        if judged is not None:
            record(history, "validation", *judged())
        if not all(math.isfinite(values[-1]) for values in history.values() if values):
            raise InputError(
                f"training went astray: in epoch {epoch + 1} a loss is no number; lower the "
                "classifier's learning_rate or head_learning_rate"
            )
        if patience is not None and (held_out_loss := history["validation_loss"][-1]) < best_loss:
            best_epoch, best_loss, best = epoch, held_out_loss, _copies(trained)
        say(history)
        if checkpoint is not None:
            checkpoint.write(
                {
                    "trained": [one.detach() for one in trained],
                    "optimizer": optimizer.state_dict(),
                    "rates": rates.state_dict(),
                    "history": history,
                    "best": (best_epoch, best_loss, best),
                }
            )
    if patience is not None:
        _overwrite(trained, best)
    return history


def batches(lengths: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yield the rows of each batch of an epoch, in a random order and of like lengths.

    `lengths` are those of the n texts; a batch has `size` rows, the last of a part fewer.
    """
    import torch

    order = torch.randperm(len(lengths)).numpy()
    parts = []
    for start in range(0, len(order), size * SORTED_BATCHES):
        chunk = order[start : start + size * SORTED_BATCHES]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        parts += [chunk[first : first + size] for first in range(0, len(chunk), size)]
    for place in torch.randperm(len(parts)).tolist():
        yield parts[place]


def count_batches(n: int, size: int) -> int:
    """Return how many batches of n rows `batches` yields."""
    whole, rest = divmod(n, size * SORTED_BATCHES)
    return whole * SORTED_BATCHES + -(-rest // size)


def rise_and_fall(steps: int) -> Callable[[int], float]:
    """Return the factor of learning rates by step: from 0 to 1, and from there to 0 at the end."""
    rising = WARM_UP * steps
    return lambda step: min(1.0, (step + 1) / max(1.0, rising), (steps - step) / (steps - rising))


def _copies(parameters: Sequence[Any]) -> list[Any]:
    return [one.detach().clone() for one in parameters]


def _overwrite(parameters: Sequence[Any], tensors: Sequence[Any]) -> None:
    import torch

    with torch.no_grad():
        for parameter, tensor in zip(parameters, tensors, strict=True):
            parameter.copy_(tensor)
