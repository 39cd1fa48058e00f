"""An encoder's network in int8: weights of its own, made of a sample of the catalogue.

It lies in data/networks/<encoder>/ with all that it takes to run it, as an exported model has it.
"""

import hashlib
import heapq
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stages.common import paths
from stages.common.errors import InputError
from stages.common.files import atomic_folder
from stages.encoders.backends.base import Backend
from stages.encoders.backends.openvino import MODEL_FILE, converted
from stages.encoders.backends.quantization import check_cosines, import_nncf, quantized
from stages.encoders.backends.selection import select_backend
from stages.encoders.base import module_of
from stages.encoders.fingerprint import code_key, network_key, vector_key
from stages.encoders.settings import EncoderSettings
from stages.encoders.weights.manifest import digest, read_manifest, write_manifest

MAX_INPUTS = 400
MIN_INPUTS = 20
HELD_OUT = 0.25  # the share of the sample that the network is tried on, and not quantised with

Read = Callable[[Sequence[str]], Sequence[Any]]


def weights_to_run(
    name: str,
    settings: EncoderSettings,
    backend_name: str,
    precision: str,
    seed: int,
    hashes: Iterable[str],
    read: Read,
) -> Path:
    """Return the folder of what embeds: an encoder's weights, or in int8 its quantised network.

    `backend_name`, `precision` and `seed` are those of params.yaml. `hashes` are the SHA-256 of the
    catalogue's inputs; `read` returns the inputs of some of them, as the encoder takes them.
    The folder of quantised networks is written in any case, empty unless there is one.
    Raises InputError where there are too few inputs, where the kind of encoder has no network to
    quantise, and where the vectors go astray.
    """
    weights, network = paths.weights(name), paths.network(name)
    backend = select_backend(settings, backend_name, precision)
    with atomic_folder(network) as new:
        if backend.precision != "int8" or not (sample := draw_sample(hashes, seed)):
            return weights
        write_network(name, settings, weights, sample, read, new)
    return network


def draw_sample(hashes: Iterable[str], seed: int) -> list[str]:
    """Return MAX_INPUTS of `hashes`, or all, in random order.

    How often and in which order they are given makes no difference.
    """

    def rank(sha256: str) -> str:
        return hashlib.sha256(f"{seed} {sha256}".encode()).hexdigest()

    return heapq.nsmallest(MAX_INPUTS, set(hashes), key=rank)


def write_network(
    name: str,
    settings: EncoderSettings,
    weights: Path,
    sample: Sequence[str],
    read: Read,
    folder: Path,
) -> None:
    """Put the network of an encoder of `weights` in int8 into `folder`, with a manifest.

    It is kept as converted networks are: the same weights and sample are not quantised again.
    Raises InputError as `weights_to_run` does.
    """
    kind = module_of(settings.kind)
    if not hasattr(kind, "convert"):
        raise InputError(f"an encoder of kind {settings.kind} has no int8: set precision to auto")
    if len(sample) < MIN_INPUTS:
        raise InputError(
            f"precision: int8 takes {MIN_INPUTS} different inputs to quantise {name} and to try "
            f"it, and the catalogue has {len(sample)}: set precision to float32 or auto"
        )
    import_nncf()  # before anything takes time
    n_calibration = round((1 - HELD_OUT) * len(sample))
    exact, place = kind.convert(settings, weights)
    # Loaded here: `converted` lets one network be made at a time, and loading may convert one.
    encoder = kind.load(settings, weights, Backend("openvino", "float32"))

    def build(part: Path) -> Any:
        for file in place.iterdir() if place != weights else ():
            if file.stem != Path(MODEL_FILE).stem:  # the tokeniser, or the steps of an image
                shutil.copyfile(file, part / file.name)
        rows = [encoder.prepare(one) for one in read(sample)]
        found = quantized(exact, rows[:n_calibration])
        print(f"{name} in int8: {check_cosines(name, exact, found, rows[n_calibration:])}")
        return found

    drawn_from = hashlib.sha256(" ".join(sample).encode()).hexdigest()
    code = code_key([f"{__package__}.backends.quantization"])
    network = vector_key(network_key(settings, weights), Backend("openvino", "int8"))
    parts = network, code, drawn_from, str(n_calibration)
    _, kept = converted(hashlib.sha256(" ".join(parts).encode()).hexdigest(), build)
    for file in kept.iterdir():
        shutil.copyfile(file, folder / file.name)
    manifest = read_manifest(weights)
    made_with = {"weights": manifest.sha256, "sample": drawn_from, "inputs": n_calibration}
    write_manifest(
        folder,
        replace(
            manifest,
            origin=f"{manifest.origin}, in int8 by sample {drawn_from[:12]}",
            sha256=digest(folder, f"{Path(MODEL_FILE).stem}.*"),
        ),
        {**manifest.request, "int8": made_with},
    )
