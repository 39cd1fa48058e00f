"""How an ensemble's pool is learnt, and what it predicts for held-out products."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.common.errors import InputError
from stages.common.files import sha256_of, write_json
from stages.common.paths import ENSEMBLE_NAME
from stages.common.splits import VALIDATION
from stages.common.tables import from_arrow, metadata_of, to_arrow
from stages.common.thresholds import promised_thresholds
from stages.fusion.calibration import LogOpinionPool, even_pool, fit_pool, pool_present
from stages.fusion.model_file import ENSEMBLE_FILE, ModelFile
from stages.fusion.preprocessing import FILE as PREPROCESSOR_FILE

PARTS = 5  # into which a fold's validation products are divided
KEYS = ("sku", "label", "group", "fold", "role", "ablated_modality")


@dataclass(frozen=True)
class PooledModels:
    """Pooled predictions in a table like those of the models, and the pool for new products."""

    table: pa.Table
    pool: LogOpinionPool
    classes: list[str]


def pool_tables(tables: Mapping[str, pa.Table]) -> PooledModels:
    """Pool what several classifiers' models of one modality predict for held-out products.

    `tables` are those of schema `probabilities_schema`, by classifier. A fold's test products are
    predicted by a pool that is fitted on the fold's validation products. These are divided into
    parts by group, and each part is predicted by a pool of the others, so that the pool is not
    judged on what it was fitted on. New products get a pool of all folds' validation products.
    Raises InputError where the tables are not of the same products.
    """
    first = next(iter(tables.values()))
    if any(not table.select(KEYS).equals(first.select(KEYS)) for table in tables.values()):
        raise InputError(
            f"{', '.join(tables)} predict for different products: run `dvc repro -f` of train"
        )
    classes = metadata_of(first.schema)["classes"]
    calibrated = {name: from_arrow(table["probabilities"])[0] for name, table in tables.items()}
    uncalibrated = {name: from_arrow(table["uncalibrated"])[0] for name, table in tables.items()}
    skus, labels, groups, roles = (
        np.array(first[name].to_pylist(), dtype=object)
        for name in ("sku", "label", "group", "role")
    )
    y_true, folds = np.searchsorted(classes, labels.astype(str)), first["fold"].to_numpy()
    is_validation = roles == VALIDATION
    pooled = np.zeros_like(next(iter(calibrated.values())))
    for fold in np.unique(folds):
        held_out = np.flatnonzero((folds == fold) & is_validation)
        for others, part in _parts(groups[held_out]):
            pool = _fit(calibrated, y_true, skus, held_out[others])
            pooled[held_out[part]] = _pooled(pool, calibrated, held_out[part])
        rest = np.flatnonzero((folds == fold) & ~is_validation)
        pooled[rest] = _pooled(_fit(calibrated, y_true, skus, held_out), calibrated, rest)
    columns = {"probabilities": pooled, "uncalibrated": even_pool(uncalibrated)}
    table = first
    for name, rows in columns.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, first.schema.field(name), to_arrow(rows))
    pool = _fit(calibrated, y_true, skus, np.flatnonzero(is_validation))
    return PooledModels(table, pool, classes)


def describe_ensemble(models: Mapping[str, ModelFile], pooled: PooledModels) -> ModelFile:
    """Return what model.json says of an ensemble of models, by classifier.

    Thresholds are found on the validation products, as they were predicted out of the pool's fit.
    Raises InputError where the models do not know the same classes.
    """
    first = next(iter(models.values()))
    if any(model.labels != first.labels for model in models.values()):
        raise InputError(f"{', '.join(models)} know different classes: run `dvc repro -f` of train")
    table = pooled.table.filter(pc.field("role") == VALIDATION)
    rows, _ = from_arrow(table["probabilities"])
    labels, groups = (np.array(table[name].to_pylist()) for name in ("label", "group"))
    correct = np.array(pooled.classes)[rows.argmax(axis=1)] == labels
    thresholds = promised_thresholds(rows.max(axis=1), correct, groups)
    kinds = {name: model.classifier for name, model in models.items()}
    return first.model_copy(
        update={
            "classifier": {
                "kind": ENSEMBLE_NAME,
                "classifiers": kinds,
                "trust": pooled.pool.weights,
            },
            "thresholds": {str(target): found for target, found in thresholds.items()},
            "reads_inputs_of": sorted(
                {one for model in models.values() for one in model.reads_inputs_of}
            ),
        }
    )


def save_ensemble(
    folder: Path, models: Mapping[str, Path], classes: list[str], pool: LogOpinionPool
) -> None:
    """Write an ensemble of the models in folders, by classifier, into `folder`.

    Models of no weight are left out. Raises InputError where the models have not one preprocessor.
    """
    weights = {name: weight for name, weight in pool.weights.items() if weight > 0}
    sources = {name: models[name] for name in weights}
    if len({sha256_of(source / PREPROCESSOR_FILE) for source in sources.values()}) != 1:
        raise InputError(
            f"{' and '.join(map(str, sources.values()))} were fitted to other products: run "
            "`dvc repro -f` of train"
        )
    for name, source in sources.items():
        shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns(PREPROCESSOR_FILE))
    shutil.copyfile(next(iter(sources.values())) / PREPROCESSOR_FILE, folder / PREPROCESSOR_FILE)
    even = [1 / len(classes)] * len(classes)  # those of the pool may have a class more
    kept = {**asdict(pool), "weights": weights, "frequencies": even}
    write_json(folder / ENSEMBLE_FILE, {"classes": classes, "pool": kept})


def _parts(groups: np.ndarray) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    """Return rows to fit on and to predict, part by part; all of both where groups are too few."""
    from sklearn.model_selection import GroupKFold

    count = min(PARTS, len(set(groups.tolist())))
    if count < 2:
        everything = np.arange(len(groups))
        return [(everything, everything)]
    return list(GroupKFold(count).split(groups, groups=groups))


def _fit(
    models: Mapping[str, np.ndarray], y_true: np.ndarray, skus: np.ndarray, rows: np.ndarray
) -> LogOpinionPool:
    """Fit a pool to some rows, but those of classes that no model knew."""
    of_label = np.max([found[rows, y_true[rows]] for found in models.values()], axis=0)
    rows = rows[of_label > 0]
    n_classes = next(iter(models.values())).shape[1]
    # The models are corrected for the classes' frequencies already.
    even = np.full(n_classes, 1 / n_classes)
    if not len(rows):
        return LogOpinionPool(dict.fromkeys(models, 1 / len(models)), 0.0, even.tolist())
    return fit_pool(
        {name: found[rows] for name, found in models.items()},
        y_true[rows],
        even,
        n_products=len(set(skus[rows].tolist())),  # several folds predict a product each
    )


def _pooled(pool: LogOpinionPool, models: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Pool the predictions of some rows; classes that no model knew get 0."""
    given = {name: found[rows] for name, found in models.items()}
    known = np.logical_or.reduce([found > 0 for found in given.values()])
    pooled = pool_present(pool, given)
    partly = known.any(axis=1) & ~known.all(axis=1)
    kept = np.where(known[partly], pooled[partly], 0)
    pooled[partly] = kept / kept.sum(axis=1, keepdims=True)
    return pooled
