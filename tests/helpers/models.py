"""Small models, as the pipeline leaves them, of made-up products whose class anyone can see.

The colour of the image and a word of the name both say the class. No network needs TensorFlow or
PyTorch.
"""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa
from helpers.onnx_files import of_bytes

from stages.classifiers.base.interface import module_of as classifier_of
from stages.common.images import open_jpeg
from stages.common.tables import PRODUCTS, write_table
from stages.common.texts import texts_of
from stages.encoders.backends.base import Backend
from stages.encoders.backends.selection import select_backend
from stages.encoders.base import module_of
from stages.encoders.int8 import write_network
from stages.encoders.table_encoder import load_encoder
from stages.encoders.weights.manifest import read_manifest, write_manifest
from stages.fusion.features import Features, FeaturesMetadata, unit_length
from stages.fusion.fitting import Task
from stages.fusion.members import plan_members
from stages.fusion.model_file import ENCODERS, NEIGHBORS, ModelFile
from stages.fusion.training import fit_models
from stages.packaging.neighbors import neighbor_vectors, neighbors_table

COLOURS = {
    "Kettles": (200, 40, 30),
    "Lamps": (240, 220, 60),
    "Radios": (30, 60, 200),
    "Towels": (40, 170, 80),
}
LABELS = sorted(COLOURS)
MATERIALS = ("steel", "wood", "glass", "cotton", "plastic")
IMAGE_SIZE = 32
Settings = Mapping[str, object] | None
N_PRODUCTS = 60
THRESHOLDS = {"0.9": 0.5, "0.95": 0.6, "0.98": 0.8, "0.99": 0.9, "0.995": None}
CLASSIFIER = {"C": 100.0, "class_weight": None, "max_iter": 1000}
FIELDS = {"ngrams": ["name", "name", "description"], "colour": []}
WEIGHTS = {"colour": 0.6, "ngrams": 0.8}


def image_of(label: str, number: int = 0) -> bytes:
    """Return a product's image: a JPEG of 32 pixels, in the colour of its class and some noise."""
    noise = np.random.default_rng(number).integers(-25, 26, (IMAGE_SIZE, IMAGE_SIZE, 3))
    pixels = np.clip(noise + COLOURS[label], 0, 255).astype(np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def texts_of_row(label: str, number: int = 0) -> dict[str, str]:
    """Return a product's texts as one gives them to the Predictor."""
    material = MATERIALS[number % len(MATERIALS)]
    return {
        "sku": f"{label[0]}{number}",
        "name": f"{label[:-1]} {number}",
        "description": f"One of our {label.lower()}, made of {material}.",
        "manufacturer": "Acme",
    }


def row_of(label: str, number: int = 0) -> dict[str, object]:
    """Return a product as one gives it to the Predictor."""
    return {**texts_of_row(label, number), "image": image_of(label, number)}


def make_model(
    folder: Path,
    modality: str = "multimodal",
    kind: str = "logistic_regression",
    image: Settings = None,
    precision: str = "float32",
    text: Settings = None,
) -> Path:
    """Write a packaged model into `folder` and return it; `modality` is multimodal or text.

    `image` are the settings of its encoder of images, unless that is the network of colours;
    `precision` is that encoder's, float32 or int8. `text` are those of its encoder of texts, unless
    that hashes n-grams.
    """
    own = {"colour": image, "ngrams": text}
    rows = [row_of(LABELS[i % len(LABELS)], i) for i in range(N_PRODUCTS)]
    labels = np.array([LABELS[i % len(LABELS)] for i in range(N_PRODUCTS)])
    table = pa.Table.from_pylist(
        [row | {"label": label, "image": None} for row, label in zip(rows, labels, strict=True)],
        schema=PRODUCTS,
    )
    names = ["ngrams"] if modality == "text" else ["colour", "ngrams"]
    encoders = {name: _encoder(name, folder, own[name], precision) for name in names}
    vectors = {}
    if "colour" in encoders:
        images = [open_jpeg(row["image"]) for row in rows]
        vectors["colour"] = unit_length(encoders["colour"].encode(images))
    vectors["ngrams"] = unit_length(encoders["ngrams"].encode(texts_of(table, FIELDS["ngrams"])))
    weights = {name: WEIGHTS[name] for name in names} if len(names) > 1 else {"ngrams": 1.0}
    inputs = {name: "image" if name == "colour" else "text" for name in names}
    everywhere = np.ones(N_PRODUCTS, dtype=bool)
    present = dict.fromkeys(names, everywhere)
    svd_components = {"ngrams": 12} if text is None else {}
    features = Features(vectors, present, weights, inputs, labels, svd_components)
    classifier = classifier_of(kind)
    settings = classifier.Settings.model_validate(CLASSIFIER)
    metadata = FeaturesMetadata({}, inputs, {}, {}, {modality: weights})
    task = Task(kind, settings, "hybrid", 42, plan_members(metadata, "hybrid"), LABELS)
    roles = np.where(np.arange(N_PRODUCTS) % 5 == 0, "validation", "train")
    (models,) = fit_models(
        task,
        lambda chosen, block_weights: features.select_rows(chosen).select_blocks(block_weights),
        roles[:, None],
        np.zeros((N_PRODUCTS, 1), dtype=int),
    )
    trained = models[modality]
    trained.model.save(folder / "fold-1")
    vectors = neighbor_vectors(trained.model.preprocessor, features)
    _write_neighbors(folder, vectors, features.blocks, rows, labels)
    entries = {name: _entry(name, folder, own[name], precision) for name in names}
    blocks = {
        name: {
            "encoder": name,
            "input": inputs[name],
            "n_features": encoders[name].n_features,
            "svd_components": features.svd_components.get(name),
            "weight": weights[name],
        }
        for name in names
    }
    ModelFile.model_validate(
        {
            "format": 1,
            "modality": modality,
            "classifier": {"kind": kind, **CLASSIFIER},
            "fusion": "hybrid",
            "labels": trained.model.classes,
            "folder": "fold-1",
            "is_refit": False,
            "n_products": int((roles == "train").sum()),
            "seed": 42,
            "blocks": blocks,
            "encoders": entries,
            "image_size": IMAGE_SIZE if "colour" in names else None,
            "thresholds": THRESHOLDS,
            "versions": {},
            "provenance": {},
        }
    ).save(folder)
    return folder


def _settings(name: str, folder: Path, own: Settings) -> Mapping[str, object]:
    if own is not None:
        return own
    if name == "colour":
        return {"kind": "onnx", "path": str(folder.parent / "colour.onnx")}
    return {"kind": "hashed_ngrams", "n_features": 512, "fields": FIELDS[name]}


def _encoder(name: str, folder: Path, own: Settings, precision: str):
    """Put an encoder's weights into the model's folder and load it."""
    if name == "colour":
        folder.mkdir(parents=True, exist_ok=True)
        of_bytes(folder.parent / "colour.onnx", ("batch", IMAGE_SIZE, IMAGE_SIZE, 3))
    given = _settings(name, folder, own)
    kind, place = module_of(given["kind"]), folder / ENCODERS / name
    settings = kind.Settings.model_validate(given)
    place.mkdir(parents=True)
    if name != "colour" or precision == "float32":
        write_manifest(place, kind.fetch(settings, place), settings.weights_request())
        return load_encoder(settings, place, Backend("openvino", "float32"))
    weights = folder.parent / "weights"
    weights.mkdir()
    write_manifest(weights, kind.fetch(settings, weights), settings.weights_request())
    jpegs = {str(i): image_of(LABELS[i % len(LABELS)], i) for i in range(N_PRODUCTS)}
    write_network(
        name,
        settings,
        weights,
        list(jpegs),
        lambda chosen: [open_jpeg(jpegs[one]) for one in chosen],
        place,
    )
    return load_encoder(settings, place, Backend("openvino", "int8"))


def _entry(name: str, folder: Path, own: Settings, precision: str) -> dict[str, object]:
    given = _settings(name, folder, own)
    settings = module_of(given["kind"]).Settings.model_validate(given)
    return {
        "settings": settings.model_dump(mode="json"),
        "weights": read_manifest(folder / ENCODERS / name).summary(),
        "fields": FIELDS[name],
        "backend": select_backend(settings, "openvino", "auto").name,
        "precision": precision if name == "colour" else "float32",
    }


def _write_neighbors(folder: Path, vectors: np.ndarray, blocks, rows, labels: np.ndarray) -> None:
    thumbnails = {row["sku"]: row["image"] for row in rows} if "colour" in blocks else {}
    names = {row["sku"]: row["name"] for row in rows}
    table = neighbors_table(list(names), names, labels.tolist(), vectors, thumbnails)
    write_table(folder / NEIGHBORS, table, {"blocks": list(blocks)})
