"""Judge every model on the test products: metrics, the tables behind the plots, predictions.

The best model of a modality is chosen on the validation products; test figures choose nothing.
"""

import csv
import io
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import InputError, run_stage
from stages.files import whole_folder, write_json, write_text
from stages.params import Params, load_params
from stages.scores import Judged, confusion, judge, per_class, score
from stages.tables import (
    PRODUCTS,
    check_schema,
    facts_of,
    probabilities_schema,
    read_table,
    vector_rows,
    write_table,
)

PRODUCTS_FILE = Path("data/products.parquet")
MODELS = Path("models")
METRICS = Path("metrics")
PLOTS = Path("plots")
PREDICTIONS = Path("data/predictions")

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
HISTORY = ["epoch", "train_loss", "validation_loss", "train_accuracy", "validation_accuracy"]
COLUMNS = {  # of the tables in plots/
    "models": ["modality", "classifier", "accuracy", "macro_f1", "weights"],
    "per_class": ["class", "modality", "model", "f1", "precision", "recall", "support"],
    "confusion": ["actual", "predicted", "products", "share", "model"],
    "learning_curves": ["modality", *HISTORY],
}
WEIGHTS = {"random": "RANDOM", "bundled": "bundled", "pretrained": "pretrained"}  # worst first

Scores = dict[str, float]


@dataclass(frozen=True)
class Model:
    """A trained model: its validation and test products, judged and scored."""

    modality: str
    classifier: str
    skus: list[str]  # of the test products
    test: Judged
    test_scores: Scores
    validation_scores: Scores
    unseen: int  # test products that have none of the modality's inputs
    weights: dict[str, str]  # encoder to kind

    @property
    def name(self) -> str:
        """The name of the model's folder."""
        return f"{self.modality}-{self.classifier}"


def main() -> None:
    """Judge the models that params.yaml names."""
    params = load_params()
    refuse_reserved_names(params)
    remove_orphans(MODELS, {f"{modality}-{kind}" for modality, kind in params.models()})
    remove_stale_plots(PLOTS / "pca", params)
    models = [load_model(modality, kind) for modality, kind in params.models()]
    best = best_of_modalities(models)
    products = read_table(PRODUCTS_FILE, PRODUCTS)

    write_json(METRICS / "models.json", all_metrics(models))
    write_json(METRICS / "headline.json", headline(params, best))
    write_csv(PLOTS / "models.csv", COLUMNS["models"], model_rows(models))
    write_csv(PLOTS / "per_class.csv", COLUMNS["per_class"], class_rows(best))
    with whole_folder(PLOTS / "confusion") as folder:
        for model in best.values():
            write_csv(folder / f"{model.modality}.csv", COLUMNS["confusion"], confusion_rows(model))
    write_csv(PLOTS / "learning_curves.csv", COLUMNS["learning_curves"], history_rows(params))
    names = dict(zip(*(products[key].to_pylist() for key in ("sku", "name")), strict=True))
    with whole_folder(PREDICTIONS) as folder:
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


def remove_orphans(models: Path, wanted: set[str]) -> None:
    """Remove models of former params, which `dvc repro` leaves behind when a list shrinks.

    Raises InputError for a folder that is no model of ours.
    """
    folders = sorted(path for path in models.iterdir() if path.is_dir()) if models.is_dir() else []
    for folder in folders:
        if folder.name in wanted or folder.name.startswith("."):
            continue
        ours = re.fullmatch(r"[a-z0-9][a-z0-9_]*-[a-z0-9][a-z0-9_]*", folder.name)
        if not ours or not (folder / "probabilities.parquet").is_file():
            raise InputError(f"{folder} is no model that params.yaml names: move it elsewhere")
        print(f"removing {folder}: params.yaml names it no more (DVC's cache still has it)")
        shutil.rmtree(folder)


def remove_stale_plots(folder: Path, params: Params) -> None:
    """Remove the plots of former modalities: `dvc plots` shows every file of the folder."""
    for file in sorted(folder.glob("*.csv")):
        if file.stem not in params.modalities:
            print(f"removing {file}: params.yaml names its modality no more")
            file.unlink()


def load_model(modality: str, classifier: str) -> Model:
    """Read what a model makes of the products held out.

    Raises InputError where the table is missing or malformed, or a split has no product.
    """
    path = MODELS / f"{modality}-{classifier}" / "probabilities.parquet"
    table = read_table(path)
    facts = facts_of(table)
    missing = [key for key in ("classes", "weights", "unseen") if key not in facts]
    if missing:
        raise InputError(f"{path} does not say its {missing[0]}: `dvc repro -f` rebuilds it")
    check_schema(path, table.schema, probabilities_schema(len(facts["classes"])))
    judged = {}
    for split in ("validation", "test"):
        rows = table.filter(pc.equal(table["split"], split))
        if not rows.num_rows:
            raise InputError(
                f"{path} has no {split} product: raise split.{split} in params.yaml, "
                "or give more products"
            )
        probabilities, _ = vector_rows(rows["probabilities"])
        judged[split] = judge(facts["classes"], rows["label"].to_pylist(), probabilities)
    return Model(
        modality=modality,
        classifier=classifier,
        skus=table.filter(pc.equal(table["split"], "test"))["sku"].to_pylist(),
        test=judged["test"],
        test_scores=score(judged["test"]),
        validation_scores=score(judged["validation"]),
        unseen=facts["unseen"]["test"],
        weights=facts["weights"],
    )


def best_on_validation(models: Iterable[Model]) -> Model:
    """Return the model with the highest macro F1 on validation; ties: accuracy, then the first."""
    return max(
        models, key=lambda model: [model.validation_scores[key] for key in ("macro_f1", "accuracy")]
    )


def best_of_modalities(models: Sequence[Model]) -> dict[str, Model]:
    """Return each modality's best model, in the order of params."""
    modalities = dict.fromkeys(model.modality for model in models)
    return {
        modality: best_on_validation(model for model in models if model.modality == modality)
        for modality in modalities
    }


def all_metrics(models: Sequence[Model]) -> dict[str, dict[str, Any]]:
    """Return the figures of each modality's classifiers, and the kinds of weights beneath them."""
    metrics: dict[str, dict[str, Any]] = {}
    for model in models:
        metrics.setdefault(model.modality, {})[model.classifier] = {
            **rounded(model.test_scores),
            "products": len(model.skus),
            "unseen": model.unseen,
            "validation": rounded(pick(model.validation_scores)),
        }
    for model in models:  # in a second turn, so that they stand below all classifiers
        metrics[model.modality]["weights"] = model.weights
    return metrics


def headline(params: Params, best: Mapping[str, Model]) -> dict[str, Any]:
    """Return the few figures that a review looks at first.

    `fusion_gain` is how much the best modality that sees pictures and texts is above the best that
    sees one of them. Each figure is of the products that its modality can see.
    """
    figures: dict[str, Any] = {
        modality: {"model": model.classifier, **rounded(pick(model.test_scores))}
        for modality, model in best.items()
    }
    fused = [model for modality, model in best.items() if sees_both(params, modality)]
    single = [model for modality, model in best.items() if not sees_both(params, modality)]
    if fused and single:
        ours, theirs = (figures[best_on_validation(group).modality] for group in (fused, single))
        gain = {key: ours[key] - theirs[key] for key in ("accuracy", "macro_f1")}
        figures["fusion_gain"] = rounded(gain)
    figures["weights"] = {
        modality: weights_in_words(model.weights) for modality, model in best.items()
    }
    return figures


def sees_both(params: Params, modality: str) -> bool:
    """Say whether a modality has an encoder of pictures and one of texts."""
    encoders = params.encoders_of(modality).keys()
    return all(encoders & set(section.encoders) for section in (params.image, params.text))


def weights_in_words(weights: Mapping[str, str]) -> str:
    """Say which encoders have which kind of weights, the least trustworthy first."""
    parts = []
    for kind, word in WEIGHTS.items():
        names = [name for name, found in weights.items() if found == kind]
        if names:
            parts.append(f"{word}: {', '.join(names)}")
    return "; ".join(parts)


def pick(scores: Scores) -> Scores:
    """Return the two figures that models are compared by."""
    return {key: scores[key] for key in ("accuracy", "macro_f1")}


def rounded(scores: Mapping[str, float]) -> Scores:
    """Round figures to four places, and -0.0 to 0.0."""
    return {key: round(value, 4) + 0.0 for key, value in scores.items()}


def model_rows(models: Iterable[Model]) -> list[dict[str, Any]]:
    """Return a row per model: the comparison of modalities and classifiers."""
    return [
        {
            "modality": model.modality,
            "classifier": model.classifier,
            **rounded(pick(model.test_scores)),
            "weights": weights_in_words(model.weights),
        }
        for model in models
    ]


def class_rows(best: Mapping[str, Model]) -> list[dict[str, Any]]:
    """Return a row per class and modality, the largest classes first; empty where 0/0."""
    rows = []
    for modality, model in best.items():
        each = per_class(model.test)
        for at, name in enumerate(model.test.classes):
            figures = {key: getattr(each, key)[at] for key in ("f1", "precision", "recall")}
            rows.append(
                {
                    "class": name,
                    "modality": modality,
                    "model": model.classifier,
                    **{
                        key: "" if np.isnan(value) else round(float(value), 4)
                        for key, value in figures.items()
                    },
                    "support": int(each.support[at]),
                }
            )
    largest: dict[str, int] = {}
    for row in rows:
        largest[row["class"]] = max(row["support"], largest.get(row["class"], 0))
    return sorted(rows, key=lambda row: (-largest[row["class"]], row["class"]))


def confusion_rows(model: Model) -> list[dict[str, Any]]:
    """Return a row per label and prediction that occur together, and one per class with itself.

    `share` is of the label's products.
    """
    counts = confusion(model.test)
    support = counts.sum(axis=1)
    names = model.test.classes
    return [
        {
            "actual": names[actual],
            "predicted": names[predicted],
            "products": int(counts[actual, predicted]),
            "share": round(float(counts[actual, predicted] / max(support[actual], 1)), 4),
            "model": model.classifier,
        }
        for actual in range(len(names))
        for predicted in range(len(names))
        if counts[actual, predicted] or actual == predicted
    ]


def history_rows(params: Params) -> list[dict[str, str]]:
    """Return a row per epoch of each modality's multi-layer perceptron; none without such models.

    Raises InputError where a history is missing or has other columns.
    """
    rows = []
    for modality in params.modalities if "mlp" in params.classifiers else ():
        path = MODELS / f"{modality}-mlp" / "history.csv"
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
    test = model.test
    classes = np.array(test.classes)
    absent = [sku for sku in model.skus if sku not in names]
    if absent:
        raise InputError(f"{PRODUCTS_FILE} has no product {absent[0]}: `dvc repro` rebuilds models")
    columns = [
        model.skus,
        [names[sku] for sku in model.skus],
        classes[test.truth].tolist(),
        classes[test.predicted].tolist(),
        test.probabilities.max(axis=1).astype(np.float32),
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
