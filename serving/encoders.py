"""A model's encoders at work: from products to the vectors that the stages would make of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from scipy.sparse import csr_array, vstack

from serving.products import Product
from serving.weights import find_weights
from stages.common.errors import InputError
from stages.common.images import open_jpeg
from stages.common.tables import Matrix
from stages.common.texts import join_fields
from stages.encoders.backends.openvino import MODEL_FILE
from stages.encoders.backends.selection import select_backend
from stages.encoders.base import Encoder, module_of
from stages.encoders.settings import EncoderSettings
from stages.encoders.table_encoder import load_encoder
from stages.fusion.model_file import FILE, ModelFile, SavedEncoder

PRECISIONS = ("auto", "float32", "bfloat16", "int8")


@dataclass(frozen=True)
class ProductEncoder:
    """An encoder of products: of their image, or of the text that is made of `fields`."""

    encoder: Encoder
    input: str
    fields: Sequence[str]
    prefix: str
    is_sparse: bool

    def encode(self, products: Sequence[Product]) -> tuple[Matrix, np.ndarray]:
        """Return (rows, present): a vector for each product, zeros where it lacks the input.

        Rows are float32 of shape (n, n_features), sparse if the encoder's are; `present` is boolean
        of shape (n,).
        """
        inputs = [self.input_of(product) for product in products]
        present = np.array([bool(one) for one in inputs], dtype=bool)
        # Long texts first, so that no core is left with one; to images the order is the same.
        order = np.array(sorted(np.flatnonzero(present), key=lambda row: -len(inputs[row])), int)
        chosen = [inputs[row] for row in order]
        if self.input == "image":
            chosen = list(map(open_jpeg, chosen))
        if not chosen:
            make = csr_array if self.is_sparse else np.zeros
            return make((len(products), self.encoder.n_features), dtype=np.float32), present
        rows = self.encoder.encode(chosen)
        finite = np.isfinite(rows.sum(axis=1))
        present[order] = finite
        return _scattered(rows[finite], order[finite], len(products)), present

    def input_of(self, product: Product) -> Any:
        """Return what is encoded of a product; something empty where it lacks the input."""
        if self.input == "image":
            return product.jpeg
        return join_fields((getattr(product, field) for field in self.fields), self.prefix)


def load_encoders(
    file: ModelFile, folder: Path, backend: str, precision: str
) -> dict[str, ProductEncoder]:
    """Load the encoder of each block of the model in `folder`.

    `backend` and `precision` are as in params.yaml. In precision auto, an encoder whose vectors
    were computed in float32 computes in float32, one of bfloat16 in what the hardware offers, and
    one of int8 in int8, in which it then is in any case.
    Raises InputError where there is no such precision, where an encoder's weights cannot be had or
    are not the model's, where it is asked for int8 and was not trained so, or the other way round,
    or where a package that runs the encoder is not installed.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}: give one of {', '.join(PRECISIONS)}")
    loaded = {
        name: _load_encoder(name, entry, folder, file.seed, backend, precision)
        for name, entry in file.encoders.items()
    }
    found: dict[str, ProductEncoder] = {}
    for block, saved in file.blocks.items():
        settings, encoder = loaded[saved.encoder]
        fields, prefix = file.encoders[saved.encoder].fields, getattr(settings, "prefix", "")
        found[block] = ProductEncoder(encoder, saved.input, fields, prefix, settings.is_sparse)
    return found


def _load_encoder(
    name: str, entry: SavedEncoder, folder: Path, seed: int, backend: str, precision: str
) -> tuple[EncoderSettings, Encoder]:
    """Load an encoder of a model, and its settings."""
    settings = settings_of(name, entry, folder)
    weights = find_weights(name, settings, entry, folder, seed)
    if precision == "auto" and entry.precision != "bfloat16":
        precision = entry.precision
    if (precision == "int8") != (entry.precision == "int8") and entry.weights.kind != "none":
        raise InputError(
            f"{name} computes in {entry.precision}, as it was trained, and not in {precision}: set "
            "precision to auto, or train it anew"
        )
    if backend == "auto" and (weights / MODEL_FILE).is_file():
        backend = "openvino"  # all that an exported encoder has is OpenVINO's network
    try:
        chosen = replace(select_backend(settings, backend, precision), low_latency=True)
        return settings, load_encoder(settings, weights, chosen)
    except ModuleNotFoundError as error:  # requirements_serving.txt has no framework
        raise InputError(
            f"{name} needs the package {error.name}, which is not installed: export the model "
            "where it is (python -m serving.export), or install requirements.txt"
        ) from None


def settings_of(name: str, entry: SavedEncoder, folder: Path) -> EncoderSettings:
    """Return the settings of an encoder of the model in `folder`, which name its kind.

    Raises InputError where this version knows no such kind or settings.
    """
    try:
        return module_of(entry.settings["kind"]).Settings.model_validate(entry.settings)
    except (KeyError, TypeError, ImportError, AttributeError, ValidationError) as error:
        raise InputError(
            f"{folder / FILE} describes no encoder {name} that this version can load "
            f"({type(error).__name__}): use the version that trained it, or train it anew"
        ) from None


def _scattered(rows: Matrix, places: np.ndarray, count: int) -> Matrix:
    """Return `count` rows of which those at `places` are `rows`, the others zeros."""
    if isinstance(rows, np.ndarray):
        found = np.zeros((count, rows.shape[1]), dtype=np.float32)
        found[places] = rows
        return found
    last = np.full(count, len(places))
    last[places] = np.arange(len(places))
    return vstack([rows, csr_array((1, rows.shape[1]), dtype=np.float32)], format="csr")[last]
