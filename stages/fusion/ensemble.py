"""An ensemble: the models of several classifiers, pooled.

Their calibrated probabilities are pooled as those of a model's members are, by a logarithmic
opinion pool whose weights are learnt on validation products. The models share one preprocessor, for
they see the same blocks of the same products.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np

from stages.common.errors import InputError
from stages.fusion.calibration import LogOpinionPool, pool_present
from stages.fusion.features import Features
from stages.fusion.model import FusedModel
from stages.fusion.model_file import ENSEMBLE_FILE
from stages.fusion.preprocessing import BlockPreprocessor


class Ensemble:
    """Models by classifier, and how they are pooled; `classes` name the columns."""

    def __init__(
        self,
        classes: list[str],
        preprocessor: BlockPreprocessor,
        models: Mapping[str, FusedModel],
        pool: LogOpinionPool,
    ) -> None:
        self.classes = classes
        self.preprocessor = preprocessor
        self.inputs = next(iter(models.values())).inputs
        self._models = models
        self._pool = pool

    def predict_each(self, features: Features) -> dict[str, np.ndarray]:
        """Classify products as `FusedModel.predict_each` does."""
        each = {name: model.predict_each(features) for name, model in self._models.items()}
        views = next(iter(each.values()))
        return {
            view: pool_present(self._pool, {name: found[view] for name, found in each.items()})
            for view in views
        }

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load what `save_ensemble` wrote; raises InputError where a part is wrong or missing."""
        path = folder / ENSEMBLE_FILE
        try:
            build = json.loads(path.read_bytes())
            classes, pool = build["classes"], LogOpinionPool(**build["pool"])
            if not pool.weights or not all(map(_is_name, pool.weights)):
                raise ValueError("names of classifiers")
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise InputError(
                f"{path} describes no ensemble ({type(error).__name__}): `dvc repro -f` rebuilds it"
            ) from None
        preprocessor = BlockPreprocessor.load(folder)
        models = {name: FusedModel.load(folder / name, preprocessor) for name in pool.weights}
        if any(model.classes != classes for model in models.values()):
            raise InputError(f"{folder} has models of other classes: `dvc repro -f` rebuilds it")
        return cls(classes, preprocessor, models, pool)


def load_fitted(folder: Path) -> FusedModel | Ensemble:
    """Load the model in a folder, of one classifier or of several."""
    if (folder / ENSEMBLE_FILE).is_file():
        return Ensemble.load(folder)
    return FusedModel.load(folder)


def _is_name(name: object) -> bool:
    """Return whether a name is a classifier's, and no path out of the model's folder."""
    return isinstance(name, str) and re.fullmatch(r"[a-z0-9][a-z0-9_]*", name) is not None
