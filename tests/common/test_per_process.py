"""What a process made for itself is made anew in one that forks off it, whatever it was."""

import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.repository import TOP

from stages.common.per_process import PerProcess

SECONDS = 60  # for a process that could wait for ever


def test_threads_that_ask_at_once_get_one_thing():
    met = threading.Barrier(8)
    one = PerProcess(object)

    def ask(_):
        met.wait(SECONDS)
        return one()

    with ThreadPoolExecutor(8) as threads:
        assert len(set(map(id, threads.map(ask, range(8))))) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_has_its_own_lock_and_threads_and_ends():
    code = """
        import os, sys, threading
        from concurrent.futures import ThreadPoolExecutor
        from stages.common.per_process import PerProcess

        lock, threads = PerProcess(threading.Lock), PerProcess(lambda: ThreadPoolExecutor(1))
        threads().submit(int).result()
        with lock():
            child = os.fork()
            if child == 0:
                with lock():
                    print(threads().submit(int, "7").result())
                sys.exit()
            print(os.waitpid(child, 0)[1], lock().locked())
    """
    # From Python 3.12 a process of several threads is warned of a fork.
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(code)],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert (done.stdout.split(), done.stderr) == (["7", "0", "True"], "")
