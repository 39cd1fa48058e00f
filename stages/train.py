"""Train one classifier on one modality in each fold, and let it answer for the held-out products.

Reads data/features/<modality>.parquet; writes models/<modality>-<classifier>/: a model per fold,
what they were made from (model.json), and their probabilities for the validation and test products
that they can see. A model that sees pictures and texts answers for the test products once more
without the one, and without the other.
"""

import argparse
import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages import fusion
from stages.errors import InputError, run_stage
from stages.features import Features, read_features
from stages.files import sha256_of, whole_folder, write_json, write_text
from stages.fusion import Answers
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
    parts = np.asarray(products["parts"].to_pylist())  # of shape (n, folds)
    seen = features.seen()
    classes = sorted(set(features.labels.tolist()))

    tables, histories = [], []
    with whole_folder(Path("models") / f"{options.modality}-{options.classifier}") as folder:
        for fold in range(parts.shape[1]):
            test = seen & (parts[:, fold] == "test")
            rest = seen & (parts[:, fold] != "test")
            try:
                fitted = fusion.fit(
                    settings,
                    params.fusion.strategy,
                    params.seed,
                    features.where(rest),
                    parts[rest, fold],
                )
            except InputError as error:
                raise InputError(f"{options.modality}, fold {fold}: {error}") from None
            fitted.model.save(folder / f"fold-{fold}")
            model = fusion.load(folder / f"fold-{fold}")  # what is judged is what was written
            held = products.filter(pa.array(rest)).filter(pa.array(fitted.held))
            known = fitted.model.classes
            tables.append(answered(held, fitted.validated, known, classes, fold, "validation", ""))
            for withheld, those, shown in shown_without(features, test):
                rows = products.filter(pa.array(those))
                answers = model.predict(shown.where(those))
                tables.append(answered(rows, answers, known, classes, fold, "test", withheld))
            histories.append(fitted.history)
        provenance = {
            "classifier": settings.model_dump(mode="json"),
            "fusion": params.fusion.strategy,
            "seed": params.seed,
            "features_sha256": sha256_of(path),
            "encoders": facts["encoders"],
            "classes": classes,
        }
        write_json(folder / "model.json", provenance)
        if histories[0]:
            write_text(folder / "history.csv", learning_curves(histories))
        unseen = Counter(
            part for row in parts[~seen] for part in {part.partition("-")[0] for part in row}
        )
        write_table(
            folder / "probabilities.parquet",
            pa.concat_tables(tables),
            {
                "classes": classes,
                "weights": {name: entry["kind"] for name, entry in facts["encoders"].items()},
                "unseen": {part: unseen[part] for part in ("validation", "test")},
            },
        )


def shown_without(
    features: Features, test: np.ndarray
) -> Iterator[tuple[str, np.ndarray, Features]]:
    """Yield what is withheld, from which test products, and what is shown of all instead.

    First nothing is withheld, from all of `test`, boolean of shape (n,); then pictures and then
    texts, from those that have both, if the modality has both.
    """
    yield "", test, features
    kinds = sorted(set(features.kinds.values()))
    if len(kinds) < 2:
        return
    both = test & np.logical_and.reduce([features.has(kind) for kind in kinds])
    for withheld in kinds:
        present = {
            name: there & (features.kinds[name] != withheld)
            for name, there in features.present.items()
        }
        yield withheld, both, replace(features, present=present)


def answered(
    products: pa.Table,
    answers: Answers,
    known: list[str],
    classes: list[str],
    fold: int,
    part: str,
    withheld: str,
) -> pa.Table:
    """Put a fold's answers for `products` into a table; classes that it did not know get 0."""
    columns = np.searchsorted(classes, known)
    vectors = []
    for rows in (answers.probabilities, answers.uncalibrated):
        wide = np.zeros((len(rows), len(classes)), dtype=np.float32)
        wide[:, columns] = rows
        vectors.append(vector_column(wide))
    n = len(products)
    said = [pa.array([fold] * n, pa.int32()), pa.array([part] * n), pa.array([withheld] * n)]
    return pa.table(
        [products["sku"], products["label"], products["group"], *said, *vectors],
        schema=probabilities_schema(len(classes)),
    )


def learning_curves(histories: list[dict[str, list[float]]]) -> str:
    """Return the folds' losses and accuracies by epoch as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["fold", "epoch", *histories[0]])
    for fold, history in enumerate(histories):
        for epoch, values in enumerate(zip(*history.values(), strict=True), start=1):
            writer.writerow([fold, epoch, *(f"{value:.4f}" for value in values)])
    return buffer.getvalue()


if __name__ == "__main__":
    run_stage(main)
