"""Judge every model on the test products: metrics, the tables behind the plots, predictions.

The best model of a modality is chosen on the validation products, and so are the probabilities from
which on products are filed; test figures choose nothing.
"""

import csv
import io
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.common.errors import InputError
from stages.common.files import atomic_file, atomic_folder, write_json, write_text
from stages.common.process import run_stage
from stages.common.tables import IMAGES, PRODUCTS, read_table, write_table
from stages.evaluation.bootstrap import Resamples
from stages.evaluation.error_gallery import Case, contact_sheet
from stages.evaluation.label_issues import ISSUE_COLUMNS, audited, issue_rows
from stages.evaluation.mistakes import CASES, worst_first
from stages.evaluation.model_metrics import all_metrics, headline, intervals_of
from stages.evaluation.plot_data import (
    COLUMNS,
    calibration_rows,
    class_rows,
    confusion_rows,
    coverage_rows,
    model_rows,
    pair_rows,
)
from stages.evaluation.predictions import Model, best_of_modalities, best_on_validation, load_model
from stages.evaluation.summary import summary
from stages.params import Params, load_params

PRODUCTS_FILE = Path("data/products.parquet")
IMAGES_FOLDER = Path("data/images")
MODELS = Path("models")
METRICS = Path("metrics")
PLOTS = Path("plots")
PREDICTIONS = Path("data/predictions")
LABEL_ISSUES = Path("data/label_issues.csv")

PREDICTIONS_SCHEMA = pa.schema(
    [
        pa.field("sku", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("prediction", pa.string(), nullable=False),
        pa.field("probability", pa.float32(), nullable=False),  # of the prediction
        pa.field("top3", pa.list_(pa.string()), nullable=False),  # most probable first
    ]
)
PREDICTIONS_COLUMNS = ["Predictions", "True Labels"]  # of the CSV beside it
HISTORY = ["fold", "epoch", "train_loss", "validation_loss", "train_accuracy"]
HISTORY += ["validation_accuracy"]


def main() -> None:
    """Judge the models that params.yaml names."""
    params = load_params()
    refuse_reserved_names(params)
    remove_orphans(params)
    models = [load_model(MODELS, modality, kind) for modality, kind in params.models()]
    names = names_of(models)
    best = best_of_modalities(models)
    chosen = best_on_validation(best.values())

    resamples = Resamples(np.concatenate([model.test.groups for model in models]), params.seed)
    intervals = intervals_of(models, resamples)
    answers = summary(
        {name: params.inputs_of(name) for name in params.modalities}, models, best, resamples
    )
    products = audited(chosen)
    issues = issue_rows(products, names)
    suspects = sum(row["suspect"] == "yes" for row in issues)
    answers["label_issues"] = {
        "verdict": f"{suspects} of {len(products.skus)} labels look wrong to {chosen.name}",
        "suspect": suspects,
        "audited": len(products.skus),
    }
    write_json(METRICS / "models.json", all_metrics(models, intervals))
    write_json(METRICS / "summary.json", answers)
    write_json(METRICS / "headline.json", headline(best, intervals, answers.get("fusion_gain")))

    for name, rows in {
        "models": model_rows(models, intervals),
        "per_class": class_rows(best),
        "calibration": calibration_rows(best),
        "coverage": coverage_rows(best),
        "confused_pairs": pair_rows(chosen, names),
    }.items():
        write_csv(PLOTS / f"{name}.csv", COLUMNS[name], rows)
    write_csv(PLOTS / "learning_curves.csv", ["modality", *HISTORY], history_rows(params))
    with atomic_folder(PLOTS / "confusion") as folder:
        for model in best.values():
            write_csv(folder / f"{model.modality}.csv", COLUMNS["confusion"], confusion_rows(model))
    with atomic_file(PLOTS / "errors.png") as part:
        part.write_bytes(errors_sheet(chosen, names))

    write_csv(LABEL_ISSUES, ISSUE_COLUMNS, issues)
    with atomic_folder(PREDICTIONS) as folder:
        for model in models:
            table = predictions(model, names)
            write_table(folder / f"{model.name}.parquet", table)
            pairs = table.select(["prediction", "label"]).rename_columns(PREDICTIONS_COLUMNS)
            write_csv(folder / f"{model.name}.csv", PREDICTIONS_COLUMNS, pairs.to_pylist())


def refuse_reserved_names(params: Params) -> None:
    """Raise InputError where a modality's name would hide another entry of the headline."""
    for name in ("fusion_gain", "weights"):
        if name in params.modalities:
            raise InputError(f"params.yaml: modalities.{name} needs another name: metrics use it")


def remove_orphans(params: Params) -> None:
    """Remove the models of former params, which `dvc repro` leaves where they were.

    Raises InputError for a folder that holds no model of ours.
    """
    for folder in sorted(path for path in MODELS.glob("*") if path.is_dir()):
        if folder.name in params.classifiers or folder.name.startswith("."):
            continue
        if not any(folder.rglob("probabilities.parquet")):
            raise InputError(f"{folder} is no model that params.yaml names: move it elsewhere")
        print(f"removing {folder}: params.yaml names it no more (DVC's cache still has it)")
        shutil.rmtree(folder)


def names_of(models: Iterable[Model]) -> dict[str, str]:
    """Return the products' names by sku; raises InputError where a model's product has none."""
    products = read_table(PRODUCTS_FILE, PRODUCTS)
    names = dict(zip(*(products[key].to_pylist() for key in ("sku", "name")), strict=True))
    for model in models:
        for sku in [*model.validation.skus.tolist(), *model.test.skus.tolist()]:
            if sku not in names:
                raise InputError(f"{PRODUCTS_FILE} has no product {sku}: `dvc repro` mends it")
    return names


def errors_sheet(model: Model, names: Mapping[str, str]) -> bytes:
    """Return a PNG of the test products that a model is most sure of and wrong about."""
    judged = model.test.judged
    worst = worst_first(model.test)
    shown = worst[:CASES]
    jpegs = pictures(set(model.test.skus[shown].tolist()))
    cases = [
        Case(
            name=names[str(model.test.skus[at])],
            jpeg=jpegs.get(str(model.test.skus[at])),
            label=judged.classes[judged.truth[at]],
            prediction=judged.classes[judged.predicted[at]],
            probability=float(judged.confidence[at]),
        )
        for at in shown
    ]
    tested = len(model.test.skus)
    mistakes = f"{len(worst)} mistakes on {tested} test products"
    return contact_sheet(cases, f"{model.name}: {mistakes}; shown: {len(cases)}, the surest first")


def pictures(skus: set[str]) -> dict[str, bytes]:
    """Return the pictures of those products that have one, as JPEG by sku."""
    found: dict[str, bytes] = {}
    for shard in sorted(IMAGES_FOLDER.glob("*.parquet")):
        table = read_table(shard, IMAGES)
        wanted = pc.is_in(table["sku"], pa.array(sorted(skus), pa.string()))
        rows = table.filter(pc.and_(wanted, pc.is_valid(table["jpeg"])))
        found |= dict(zip(rows["sku"].to_pylist(), rows["jpeg"].to_pylist(), strict=True))
    return found


def history_rows(params: Params) -> list[dict[str, str]]:
    """Return a row per epoch of each modality's multi-layer perceptron; none without such models.

    Raises InputError where a history is missing or has other columns.
    """
    rows = []
    for modality in params.modalities if "mlp" in params.classifiers else ():
        path = MODELS / "mlp" / modality / "history.csv"
        try:
            epochs = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        except FileNotFoundError:
            raise InputError(f"{path} is not there: `dvc repro` builds it") from None
        if not epochs or list(epochs[0]) != HISTORY:
            raise InputError(f"{path} has no epochs with the columns {', '.join(HISTORY)}")
        rows += [{"modality": modality, **epoch} for epoch in epochs]
    return rows


def predictions(model: Model, names: Mapping[str, str]) -> pa.Table:
    """Return what a model says of each test product; `names` has the products' names by sku."""
    test, skus = model.test.judged, model.test.skus.tolist()
    classes = np.array(test.classes)
    columns = [
        skus,
        [names[sku] for sku in skus],
        classes[test.truth].tolist(),
        classes[test.predicted].tolist(),
        test.confidence.astype(np.float32),
        classes[test.ranking[:, :3]].tolist(),
    ]
    arrays = [
        pa.array(column, type=field.type)
        for column, field in zip(columns, PREDICTIONS_SCHEMA, strict=True)
    ]
    return pa.table(arrays, schema=PREDICTIONS_SCHEMA)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a header and rows that have a value for each of `columns`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


if __name__ == "__main__":
    run_stage(main)
