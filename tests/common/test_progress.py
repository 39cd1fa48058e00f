"""Progress bars as a person sees them, and as a log keeps them."""

import io
import sys
import time

from stages.common.progress import progress_bar


class Stream(io.StringIO):
    """Standard error, of a terminal or of a log."""

    def __init__(self, is_terminal):
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self):
        return self._is_terminal


def states(monkeypatch, is_terminal):
    """Return the states of a bar that counts for half a second."""
    stream = Stream(is_terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar("counts", " rows", 50) as bar:
        for _ in range(50):
            time.sleep(0.01)
            bar.update()
    return [state for state in stream.getvalue().split("\r") if state.strip()]


def test_a_log_has_the_first_state_and_the_last_and_few_between(monkeypatch):
    first, last = states(monkeypatch, False)
    assert "counts" in first and " 0/50 " in first
    assert "100%" in last and " 50/50 " in last


def test_on_a_terminal_a_bar_moves(monkeypatch):
    assert len(states(monkeypatch, True)) > 3
