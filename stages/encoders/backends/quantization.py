"""A network of OpenVINO in int8: quantised by NNCF, and compared with what it was in float32."""

import io
import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from types import ModuleType
from typing import Any

import numpy as np

from stages.common.errors import InputError
from stages.common.openvino import import_openvino
from stages.encoders.backends.base import Backend, Row
from stages.encoders.backends.openvino import OpenVinoNetwork

MIN_COSINE = 0.98  # on average; trained networks that lost no accuracy had 0.992 and more
OF_TRANSFORMERS = {"MVN", "ScaledDotProductAttention", "Softmax"}  # MVN normalises a layer


def import_nncf() -> ModuleType:
    """Return the package nncf, which then neither logs nor tells anyone of its use.

    Raises InputError where it is not installed.
    """
    import_openvino()  # hides the package that would tell
    try:
        import nncf
    except ImportError:
        raise InputError(
            "precision: int8 needs the package nncf: install requirements.txt, or set precision to "
            "float32 or auto"
        ) from None
    nncf.set_log_level(logging.ERROR)
    return nncf


def quantized(model: Any, rows: Sequence[Row]) -> Any:
    """Return a network of OpenVINO in int8, for numbers as large as those that `rows` give rise to.

    The same network and rows give the same bytes on one machine.
    """
    nncf = import_nncf()
    # What has attention or normalises layers loses its way unless it is quantised as they need it;
    # other networks are faster without.
    kinds = {node.get_type_name() for node in model.get_ops()}
    with redirect_stdout(io.StringIO()):  # progress bars
        found = nncf.quantize(
            model.clone(),
            nncf.Dataset(rows, lambda row: dict(enumerate(row))),
            model_type=nncf.ModelType.TRANSFORMER if kinds & OF_TRANSFORMERS else None,
            subset_size=len(rows),
        )
    # They are named by counters of the process, and the names are kept.
    found.set_friendly_name("int8")
    for i, node in enumerate(found.get_ordered_ops()):
        node.set_friendly_name(f"{node.get_type_name()}_{i}")
    return found


def check_cosines(name: str, exact: Any, found: Any, rows: Sequence[Row]) -> str:
    """Compare the vectors of a network in int8 with those in float32; return the figures in words.

    What all vectors have in common is taken off first: it would hide what tells them apart. Raises
    InputError, with the figures, where the cosines' mean is below MIN_COSINE.
    """
    wanted, vectors = (
        OpenVinoNetwork(model, Backend("openvino", precision)).run(rows).astype(np.float64)
        for model, precision in ((exact, "float32"), (found, "int8"))
    )
    center = wanted.mean(axis=0)
    wanted, vectors = wanted - center, vectors - center
    with np.errstate(invalid="ignore"):
        norms = np.linalg.norm(wanted, axis=1) * np.linalg.norm(vectors, axis=1)
        cosines = (wanted * vectors).sum(axis=1) / norms
    mean, least = cosines.mean(), cosines.min()
    figures = (
        f"on {len(rows)} inputs that it was not quantised with, the cosine to float32 is "
        f"{mean:.4f} on average and {least:.4f} at least"
    )
    if not mean >= MIN_COSINE:  # NaN is no cosine
        raise InputError(
            f"{name} goes astray in int8: {figures}, and {MIN_COSINE} on average is the limit: set "
            "precision to float32 or auto"
        )
    return figures
