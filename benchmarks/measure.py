"""What the benchmarks share: rounds in turn, medians, and the machine they were taken on."""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from stages.common.errors import InputError
from stages.fusion.model_file import ModelFile

Rates = dict[str, list[float]]


def positive(text: str) -> int:
    """Return the number of rounds or inputs that an argument asks for: 1 or more."""
    try:
        if (number := int(text)) > 0:
            return number
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text}: give a whole number, 1 or more")


def model_folder(text: str) -> Path:
    """Return the folder that an argument names, which must hold a model."""
    try:
        ModelFile.load(Path(text))
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Path(text)


def in_turn(ways: Mapping[str, Callable[[], float]], rounds: int) -> Rates:
    """Run each way once to warm up, then all of them in turn `rounds` times.

    A way returns how much it did (pictures, texts, operations); returns what each did per second.
    """
    rates: Rates = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            done = way()
            if number:
                rates[name].append(done / (time.perf_counter() - start))
    return rates


def ratio(rates: Rates, name: str, other: str) -> float:
    """Return how many times as fast one way was as another: the ratio of their medians."""
    return statistics.median(rates[name]) / statistics.median(rates[other])


def machine() -> str:
    """Return the processor, its cores and the versions of the libraries that compute."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    names = ("openvino", "keras", "torch", "transformers", "sentence-transformers")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"{(models or ['processor'])[0]}, {os.cpu_count()} cores; {versions}"


def table(rows: list[tuple[str, str]]) -> str:
    """Set rows of a name and a figure in two columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {figure:>14}" for name, figure in rows)
