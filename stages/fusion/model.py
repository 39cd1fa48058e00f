"""A model of what a modality sees: a classifier, or several where it sees image and text.

Where a modality sees both, a product may lack one. A model then has three members: for the image
alone, for the text alone, and for all blocks side by side. Each product is classified by the
members for what it has (reduced models: Saar-Tsechansky and Provost 2007, Handling Missing Values
when Applying Classification Models). A product that has both is classified by the member for both
in early fusion, by the other two, pooled, in late fusion, and by all three, pooled, in hybrid
fusion (Atrey et al. 2010, Multimodal Fusion for Multimedia Analysis).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np

from stages.classifiers.base.interface import Classifier, module_of
from stages.common.errors import InputError
from stages.common.files import write_json
from stages.fusion.calibration import LogOpinionPool, even_pool
from stages.fusion.features import Features
from stages.fusion.members import (
    BOTH,
    MemberPredictions,
    neutral_where_unknown,
    predict_member,
    rows_by_pool,
)
from stages.fusion.preprocessing import BlockPreprocessor

BUILD_FILE = "fusion.json"
ALL = "all"  # that a product has, image or text or both


@dataclass(frozen=True)
class Predictions:
    """Probabilities, calibrated and before calibration, both float32 of shape (n, classes)."""

    probabilities: np.ndarray
    uncalibrated: np.ndarray


class FusedModel:
    """The members of a model by what they see, image, text or both; and how they are pooled.

    `classes` names the columns of all probabilities; `pools` has the pool of the members for what a
    product may have, image, text or both.
    """

    def __init__(
        self,
        kind: str,
        classes: list[str],
        preprocessor: BlockPreprocessor,
        members: Mapping[str, Classifier],
        pools: Mapping[str, LogOpinionPool],
    ) -> None:
        self.kind = kind
        self.classes = classes
        self.preprocessor = preprocessor
        self.members = members
        self.pools = pools

    def predict_proba(self, features: Features) -> Predictions:
        """Classify each product by the members for what it has; one that has nothing gets zeros.

        `features` hold the blocks of the model, as the encoders' vectors of unit length.
        """
        members = self._predict_members(self.preprocessor.transform(features))
        return pool_predictions(members, self.pools)

    @property
    def inputs(self) -> frozenset[str]:
        """What the model sees, image or text or both."""
        return frozenset(self.pools) - {BOTH}

    def predict_each(self, features: Features) -> dict[str, np.ndarray]:
        """Classify products that were preprocessed by all that they have, and by each input alone.

        Return probabilities, float32 of shape (n, classes), by input, and by ALL; zeros where a
        product has nothing.
        """
        members = self._predict_members(features)
        found = {ALL: pool_predictions(members, self.pools).probabilities}
        for name in sorted(self.inputs):
            alone = pool_predictions({name: members[name]}, self.pools)
            found[name] = alone.probabilities
        return found

    def _predict_members(self, features: Features) -> dict[str, MemberPredictions]:
        """Return what each member predicts for the products that it sees, before any pooling."""
        return {
            name: predict_member(
                member,
                features if name == BOTH else features.select_modalities({name}),
                self.classes,
            )
            for name, member in self.members.items()
        }

    def save(self, folder: Path) -> None:
        """Write the model into `folder`, in formats that run no code when they are loaded."""
        for name, member in self.members.items():
            (folder / name).mkdir(parents=True)
            member.save(folder / name)
        self.preprocessor.save(folder)
        build = {
            "kind": self.kind,
            "classes": self.classes,
            "members": list(self.members),
            "pools": {name: asdict(pool) for name, pool in self.pools.items()},
        }
        write_json(folder / BUILD_FILE, build)

    @classmethod
    def load(cls, folder: Path, preprocessor: BlockPreprocessor | None = None) -> Self:
        """Load what `save` wrote, but for the preprocessor where one is given.

        Raises InputError where a part is missing or malformed.
        """
        path = folder / BUILD_FILE
        try:
            build = json.loads(path.read_bytes())
            kind, names, classes = build["kind"], build["members"], build["classes"]
            if not set(names) <= {BOTH, "image", "text"}:
                raise ValueError("members of other names")
            module = module_of(kind)
            pools = {name: LogOpinionPool(**pool) for name, pool in build["pools"].items()}
        except FileNotFoundError:
            raise InputError(f"{folder} holds no model: `dvc repro` trains it") from None
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            RecursionError,
            ImportError,
        ) as error:
            raise InputError(
                f"{path} describes no model ({type(error).__name__}): `dvc repro -f` rebuilds it"
            ) from None
        members = {name: module.Classifier.load(folder / name) for name in names}
        return cls(kind, classes, preprocessor or BlockPreprocessor.load(folder), members, pools)


def pool_predictions(
    members: Mapping[str, MemberPredictions], pools: Mapping[str, LogOpinionPool]
) -> Predictions:
    """Pool the members' predictions by what a product has; one that has nothing gets zeros."""
    shape = next(iter(members.values())).probabilities.shape
    found = Predictions(np.zeros(shape, np.float32), np.zeros(shape, np.float32))
    rows = rows_by_pool({name: one.sees for name, one in members.items()}, np.logical_and)
    for name, chosen in rows.items():  # both comes last, and replaces the others
        given = neutral_where_unknown(
            {member: members[member].select(chosen) for member in pools[name].weights},
            np.array(pools[name].frequencies),
        )
        found.probabilities[chosen] = pools[name].predict_proba(given)
        found.uncalibrated[chosen] = even_pool(given)
    return found
