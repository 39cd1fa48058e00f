"""What a model's folder says of the model: model.json made of what it was trained from."""

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from stages.common.thresholds import promised_thresholds
from stages.fusion.features import FeaturesMetadata
from stages.fusion.fitting import Task
from stages.fusion.model_file import ModelFile
from stages.fusion.training import TrainedModel

# What a model is made of and run by: it is loaded by others too, at the reader's risk.
LIBRARIES = ("numpy", "openvino", "pillow", "safetensors", "scikit-learn", "scipy", "skops")

ALL = "all"  # the folder of a model that is fitted to all products, those for testing as well


def describe(
    task: Task,
    metadata: FeaturesMetadata,
    trained: TrainedModel,
    labels: np.ndarray,
    groups: np.ndarray,
    folder: str,
    modality: str,
    provenance: Mapping[str, Any],
) -> ModelFile:
    """Return what model.json says of a modality's model that lies in `folder` beside it.

    `labels` and `groups` are those of all products, str; thresholds are found on the model's
    validation products.
    """
    probabilities = trained.validation.probabilities
    predicted = np.array(trained.model.classes)[probabilities.argmax(axis=1)]
    correct = predicted == labels[trained.rows]
    confidence = probabilities.max(axis=1)
    thresholds = promised_thresholds(confidence, correct, groups[trained.rows])
    encoders = {block: metadata.encoders[block] for block in metadata.modalities[modality]}
    return ModelFile.model_validate(
        {
            "format": 1,
            "modality": modality,
            "classifier": {"kind": task.kind, **task.settings.model_dump(mode="json")},
            "fusion": task.strategy,
            "labels": trained.model.classes,
            "folder": folder,
            "is_refit": folder == ALL,
            "n_products": trained.n_products,
            "seed": task.seed,
            "blocks": {
                block: {
                    "encoder": encoders[block]["encoder"],
                    "input": metadata.inputs[block],
                    "n_features": metadata.n_features[block],
                    "svd_components": metadata.svd_components.get(block),
                    "weight": weight,
                }
                for block, weight in metadata.modalities[modality].items()
            },
            "encoders": {one["encoder"]: _encoder(one) for one in encoders.values()},
            "image_size": next(
                filter(None, (one.get("image_size") for one in encoders.values())), None
            ),
            "thresholds": {str(target): found for target, found in thresholds.items()},
            "versions": {"python": platform.python_version(), **_versions(LIBRARIES)},
            "provenance": dict(provenance),
            "reads_inputs_of": sorted(task.settings.reads_inputs_of),
        }
    )


def _encoder(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of an encoder, of what its table of vectors says."""
    keys = ("settings", "weights", "backend", "precision")
    return {key: found[key] for key in keys} | {"fields": found.get("fields", [])}


def _versions(names: Iterable[str]) -> dict[str, str]:
    return {name: version(name) for name in names}
