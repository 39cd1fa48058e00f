"""Train one classifier on one modality, and let it answer for the held-out products.

Reads data/features/<modality>.parquet; writes models/<modality>-<classifier>/: the model, what it
was made from (model.json), and its probabilities for the validation and test products that it can
see, given by the model as it loads from its file.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.classifiers import module_of
from stages.errors import InputError, run_stage
from stages.features import read_features
from stages.files import sha256_of, whole_folder, write_json
from stages.params import load_params
from stages.tables import probabilities_schema, vector_column, write_table


def main() -> None:
    """Train the classifier on the modality that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modality", required=True, help="under `modalities` in params.yaml")
    parser.add_argument("--classifier", required=True, help="under `classifiers` in params.yaml")
    options = parser.parse_args()
    params = load_params()
    settings = params.classifiers[options.classifier]
    path = Path("data/features") / f"{options.modality}.parquet"
    features, products, facts = read_features(path)

    split = np.asarray(products["split"].to_pylist())
    seen = features.seen()
    train, validation = (features.where(seen & (split == name)) for name in ("train", "validation"))
    if len(set(train.labels.tolist())) < 2:
        raise InputError(
            f"{options.modality}: the training products with something to see are of "
            f"{len(set(train.labels.tolist()))} classes; two are needed: see metrics/data.json"
        )
    if not np.isin(validation.labels, train.labels).any():
        raise InputError(
            f"{options.modality}: no validation product with something to see is of a class to "
            f"train on: raise split.validation in params.yaml, or give more products"
        )
    module = module_of(settings.kind)
    held_out = seen & (split != "train")
    with whole_folder(Path("models") / f"{options.modality}-{options.classifier}") as folder:
        module.fit(settings, params.seed, train, validation).save(folder)
        model = module.load(folder)
        provenance = {
            "classifier": settings.model_dump(mode="json"),
            "seed": params.seed,
            "features_sha256": sha256_of(path),
            "encoders": facts["encoders"],
            "classes": model.classes,
        }
        write_json(folder / "model.json", provenance)
        probabilities = model.predict_proba(features.where(held_out))
        unseen = Counter(split[~seen].tolist())
        write_table(
            folder / "probabilities.parquet",
            pa.table(
                [*products.filter(pa.array(held_out)).columns, vector_column(probabilities)],
                schema=probabilities_schema(len(model.classes)),
            ),
            {
                "classes": model.classes,
                "weights": {name: entry["kind"] for name, entry in facts["encoders"].items()},
                "unseen": {name: unseen[name] for name in ("validation", "test")},
            },
        )


if __name__ == "__main__":
    run_stage(main)
