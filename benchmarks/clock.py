"""Where the time of a whole run goes: the demo from nothing, stage by stage.

Run as `python -m benchmarks.clock`. Runs `dvc repro` in a clone of the last commit, with nothing
built and nothing kept, then `dvc status` and `dvc repro` with nothing to do.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.copies import Clone
from benchmarks.measure import machine, positive, table


def main() -> None:
    """Time the run and print a table of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=positive, default=1)
    rounds = parser.parse_args().rounds
    print(f"{machine()}\n{rounds} rounds, medians, seconds\n")
    runs, idle = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            clone = Clone(Path(name) / "clone")
            runs.append(clone.repro())
            idle.append([clone.run("dvc", command)[0] for command in ("status", "repro")])
    stages = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    whole = statistics.median(sum(run.values()) for run in runs)
    status, noop = (statistics.median(times) for times in zip(*idle, strict=True))
    rows = {**stages, "all": whole, "dvc status": status, "dvc repro, nothing to do": noop}
    print(table([(name, f"{seconds:.1f}") for name, seconds in rows.items()]))


if __name__ == "__main__":
    main()
