"""Evaluate every model on the test products: metrics, the tables behind the plots, predictions.

The best model of a modality is chosen on the validation products, and so are the thresholds above
which predictions need no review; test products choose nothing.
"""

from collections.abc import Iterable

import numpy as np

from stages.common import paths
from stages.common.errors import InputError
from stages.common.files import atomic_folder, read_json, write_csv, write_json
from stages.common.process import run_stage
from stages.common.tables import PRODUCTS, read_table, write_table
from stages.evaluation import label_issues
from stages.evaluation.bootstrap import ClusterBootstrap
from stages.evaluation.error_gallery import error_gallery
from stages.evaluation.model_metrics import headline, intervals_of, model_metrics
from stages.evaluation.model_selection import best_between_modalities, best_by_modality
from stages.evaluation.plot_data import guessing_models, learning_curves_table, plot_tables
from stages.evaluation.predictions import (
    Model,
    load_model,
    prediction_table,
    trained_modalities,
)
from stages.evaluation.summary import summary
from stages.params import load_params


def main() -> None:
    """Evaluate the models that params.yaml names."""
    params = load_params()
    trained = trained_modalities(paths.MODELS, params.modalities, params.classifiers)
    pairs = [(modality, name) for modality, name in params.models() if modality in trained]
    models = [load_model(paths.model(name, modality), modality, name) for modality, name in pairs]
    names = product_names(models)
    best = best_by_modality(models)
    chosen = best_between_modalities(best.values())

    bootstrap = ClusterBootstrap(np.concatenate([each.test.groups for each in models]), params.seed)
    intervals = intervals_of(models, bootstrap)
    inputs = {
        modality: {name: block.input for name, block in params.blocks_of(modality).items()}
        for modality in trained
    }
    figures = summary(inputs, models, best, bootstrap)
    audited = label_issues.audited_products(chosen)
    issues = label_issues.issue_rows(audited, names)
    suspects = sum(row["suspect"] == "yes" for row in issues)
    figures["label_issues"] = {"suspect": suspects, "audited": len(audited)}
    write_json(paths.METRICS / "models.json", model_metrics(models, intervals))
    write_json(paths.METRICS / "summary.json", figures)
    split = read_json(paths.METRICS / "split.json")
    write_json(paths.METRICS / "headline.json", headline(best, models, intervals, figures, split))
    write_csv(paths.LABEL_ISSUES, label_issues.COLUMNS, issues)

    tables = plot_tables(models, best, intervals, names)
    tables["learning_curves"] = learning_curves_table(paths.MODELS, models)
    for name in guessing_models(tables["learning_curves"], models):
        print(
            f"evaluate: {name} learnt nothing: no epoch's loss is below that of a guess; set "
            "another learning_rate, or more max_epochs"
        )
    with atomic_folder(paths.PLOTS / "evaluation") as folder:
        for name, table in tables.items():
            write_csv(folder / f"{name}.csv", table.columns, table.rows)
        gallery = error_gallery(chosen, names, paths.image_shards())
        (folder / "errors.png").write_bytes(gallery)

    with atomic_folder(paths.PREDICTIONS) as folder:
        for model in models:
            predictions = prediction_table(model, names)
            write_table(folder / f"{model.name}.parquet", predictions)
            columns = ["Predictions", "True Labels"]
            labels = predictions.select(["prediction", "label"]).rename_columns(columns)
            write_csv(folder / f"{model.name}.csv", columns, labels.to_pylist())


def product_names(models: Iterable[Model]) -> dict[str, str]:
    """Return the products' names by sku; raise InputError where a model's product has none."""
    products = read_table(paths.PRODUCTS, PRODUCTS)
    names = dict(zip(*(products[key].to_pylist() for key in ("sku", "name")), strict=True))
    for model in models:
        for sku in [*model.validation.skus.tolist(), *model.test.skus.tolist()]:
            if sku not in names:
                raise InputError(f"{paths.PRODUCTS} has no product {sku}: run `dvc repro`")
    return names


if __name__ == "__main__":
    run_stage(main)
