"""The state of a training run, kept in a file: one that was killed goes on from it.

It goes on to the same numbers, bit for bit: the file has all that the rest of the run depends on,
with what frozen layers gave, for that depends in its last bits on what was in the batch.
"""

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stages.classifiers.base.partly_trained import PartlyTrained
from stages.common.files import atomic_file

SUFFIX = ".checkpoint"
MAX_SHARE = 0.05  # of a run's time that goes into writing
FIRST = 1.0  # seconds that writing is thought to take, before it was done once
MAX_AGE = 7 * 24 * 3600  # seconds; what is older belongs to a run that nobody goes on with


class Checkpoint:
    """A file with the state of one training run; `device`, cpu or cuda, is where that trains."""

    def __init__(self, file: Path, network: PartlyTrained, device: str) -> None:
        self._file, self._network, self._device = file, network, device
        self._seconds, self._written = FIRST, time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """Return what `write` wrote; None where nothing was written, or the file is damaged.

        PyTorch then draws what it would have drawn next. Reading runs no code.
        """
        import torch

        try:
            state = torch.load(self._file, map_location=self._device, weights_only=True)
            kept, drawn = state.pop("kept"), [one.cpu() for one in state.pop("drawn")]
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever PyTorch stumbles over in a file that is not its own
            tqdm.write(f"{self._file} is damaged, training starts anew: {error}", file=sys.stderr)
            return None
        self._network.restore(kept)
        torch.set_rng_state(drawn[0])
        if self._device == "cuda":
            torch.cuda.set_rng_state(drawn[1])
        return state

    def write(self, state: dict[str, Any]) -> None:
        """Write tensors, numbers, and lists and mappings of them; not where that would cost much.

        At most MAX_SHARE of the time goes into writing, so that short epochs share a file.
        """
        import torch

        start = time.monotonic()
        if start - self._written < self._seconds / MAX_SHARE:
            return
        drawn = [torch.get_rng_state()]
        if self._device == "cuda":
            drawn.append(torch.cuda.get_rng_state())
        with atomic_file(self._file) as part:
            torch.save(state | {"kept": self._network.kept, "drawn": drawn}, part)
        self._written = time.monotonic()
        self._seconds = self._written - start


def remove_old(folder: Path) -> None:
    """Remove the files in a folder that runs left which were killed long ago."""
    for file in folder.glob(f".*{SUFFIX}"):
        with suppress(FileNotFoundError):  # its run, or another one that clears up, removed it
            if time.time() - file.stat().st_mtime > MAX_AGE:
                file.unlink()
