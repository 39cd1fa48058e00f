"""Train one classifier on every modality in each fold, and let it answer for the held-out products.

Reads data/features.parquet; writes models/<classifier>/: for each modality a model per fold, what
they were made from (model.json), and their probabilities for the validation and test products that
they can see. A model that sees pictures and texts answers for the test products once more without
the one, and without the other.

The modalities of a classifier are one stage, for they have members in common: what one that sees
both knows of texts alone is what the one that sees texts knows.
"""

import argparse
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.common.errors import InputError
from stages.common.files import atomic_folder, sha256_of, write_json, write_text
from stages.common.process import run_stage
from stages.common.tables import probabilities_schema, to_arrow, write_table
from stages.fusion import model as fusion
from stages.fusion.features import FEATURES, Features, read_features, read_products
from stages.fusion.fits import Fits
from stages.fusion.model import Answers
from stages.params import load_params


def main() -> None:
    """Train the classifier that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classifier", required=True, help="under `classifiers` in params.yaml")
    name = parser.parse_args().classifier
    params = load_params()
    settings, strategy = params.classifiers[name], params.fusion.strategy
    products, facts = read_products(FEATURES)
    parts = np.asarray(products["parts"].to_pylist())  # of shape (n, folds)
    classes = sorted(set(products["label"].to_pylist()))
    provenance = {
        "classifier": {**settings.model_dump(mode="json"), "kind": name},
        "fusion": strategy,
        "seed": params.seed,
        "features_sha256": sha256_of(FEATURES),
        "classes": classes,
    }

    records = {modality: Record() for modality in facts["modalities"]}
    with atomic_folder(Path("models") / name) as folder:
        for fold in range(parts.shape[1]):
            fits = Fits()
            for modality, record in records.items():
                rest, fitted_on = read_features(FEATURES, modality, parts[:, fold] != "test")
                try:
                    fitted = fusion.fit(
                        name, settings, strategy, params.seed, rest, parts[fitted_on, fold], fits
                    )
                except InputError as error:
                    raise InputError(f"{modality}, fold {fold}: {error}") from None
                del rest  # a large catalogue's features are in memory once
                place = folder / modality / f"fold-{fold}"
                fitted.model.save(place)
                model = fusion.load(place)  # what is judged is what was written
                test, tested = read_features(FEATURES, modality, parts[:, fold] == "test")

                known = model.classes
                held = products.filter(pa.array(fitted_on)).filter(pa.array(fitted.held))
                record.tables.append(
                    answered(held, fitted.validated, known, classes, fold, "validation", "")
                )
                rows = products.filter(pa.array(tested))
                for withheld, those, shown in shown_without(test):
                    answers = model.predict(shown)
                    some = rows.filter(pa.array(those))
                    record.tables.append(
                        answered(some, answers, known, classes, fold, "test", withheld)
                    )
                record.histories.append(fitted.history)
                record.seen = fitted_on | tested
        for modality, record in records.items():
            encoders = {block: facts["encoders"][block] for block in facts["modalities"][modality]}
            write_json(folder / modality / "model.json", provenance | {"encoders": encoders})
            if record.histories[0]:
                write_text(folder / modality / "history.csv", learning_curves(record.histories))
            weights = {name: entry["kind"] for name, entry in encoders.items()}
            unseen = counted_once(parts[~record.seen])
            write_table(
                folder / modality / "probabilities.parquet",
                pa.concat_tables(record.tables),
                {"classes": classes, "weights": weights, "unseen": unseen},
            )


@dataclass
class Record:
    """What comes of a modality's models, fold by fold; `seen`: which products they can see."""

    tables: list[pa.Table] = field(default_factory=list)
    histories: list[dict[str, list[float]]] = field(default_factory=list)
    seen: np.ndarray | None = None


def counted_once(parts: np.ndarray) -> dict[str, int]:
    """Count the products that are ever for validation and for testing; `parts`: (n, folds)."""
    stems = [{part.partition("-")[0] for part in row} for row in parts]
    return {part: sum(part in row for row in stems) for part in ("validation", "test")}


def shown_without(test: Features) -> Iterator[tuple[str, np.ndarray, Features]]:
    """Yield what is withheld, from which test products, boolean of shape (n,), and what they show.

    First nothing is withheld, from all; then pictures and then texts, from those that have both, if
    the modality has both.
    """
    yield "", np.ones(len(test.labels), dtype=bool), test
    kinds = sorted(set(test.kinds.values()))
    if len(kinds) < 2:
        return
    both = np.logical_and.reduce([test.has(kind) for kind in kinds])
    for withheld in kinds:
        present = {
            name: there & (test.kinds[name] != withheld) for name, there in test.present.items()
        }
        yield withheld, both, replace(test, present=present).where(both)


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
        vectors.append(to_arrow(wide))
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
