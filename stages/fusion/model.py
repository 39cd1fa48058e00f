"""One model of what a modality sees: a classifier, or several where it sees pictures and texts.

Where a modality sees both, a product may lack one. A model then has three members: for the pictures
alone, for the texts alone, and for both blocks side by side; a product is judged by the members for
what it has (reduced models: Saar-Tsechansky and Provost 2007, Handling Missing Values when Applying
Classification Models). One that has both is judged by the member for both in early fusion, by the
other two, pooled, in late fusion, and by all three, pooled, in hybrid fusion (Atrey et al. 2010,
Multimodal Fusion for Multimedia Analysis).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stages.classifiers.base import Model, module_of
from stages.common.errors import InputError
from stages.common.files import write_json
from stages.fusion import preprocessing as projection
from stages.fusion.calibration import Pool, fit_pool, pooled
from stages.fusion.features import Features
from stages.fusion.fits import Fits
from stages.fusion.preprocessing import Projection

BUILD_FILE = "fusion.json"
BOTH = "both"


@dataclass(frozen=True)
class Answers:
    """Probabilities of products, float32 of shape (n, classes), as given and before calibration."""

    probabilities: np.ndarray
    uncalibrated: np.ndarray


class FusedModel:
    """The members of a model, by what they see: image, text or both; and how they are pooled.

    `classes` names the columns of all probabilities; `pools` has for what a product may have,
    image, text or both, the pool of the members that judge it.
    """

    def __init__(
        self,
        kind: str,
        classes: list[str],
        projected: Projection,
        members: dict[str, Model],
        pools: dict[str, Pool],
    ) -> None:
        self.kind = kind
        self.classes = classes
        self.projection = projected
        self.members = members
        self.pools = pools

    def predict(self, features: Features) -> Answers:
        """Judge each product by the members for what it has; one that has nothing gets zeros."""
        features = self.projection.apply(features)
        raw = _raw(self.members, features, self.classes)
        return _answers(raw, features, self.pools)

    def save(self, folder: Path) -> None:
        """Write the model into `folder`, in formats that run no code when they are loaded."""
        for view, member in self.members.items():
            (folder / view).mkdir(parents=True)
            member.save(folder / view)
        self.projection.save(folder)
        build = {
            "kind": self.kind,
            "classes": self.classes,
            "members": list(self.members),
            "pools": {view: asdict(pool) for view, pool in self.pools.items()},
        }
        write_json(folder / BUILD_FILE, build)


def load(folder: Path) -> FusedModel:
    """Load what `FusedModel.save` wrote; raises InputError where a part is missing."""
    path = folder / BUILD_FILE
    try:
        build = json.loads(path.read_bytes())
        kind, names, classes = build["kind"], build["members"], build["classes"]
        if not set(names) <= {BOTH, "image", "text"}:
            raise ValueError("members of other names")
        module = module_of(kind)
        pools = {view: Pool(**pool) for view, pool in build["pools"].items()}
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
    members = {view: module.load(folder / view) for view in names}
    return FusedModel(kind, classes, projection.load(folder), members, pools)


@dataclass(frozen=True)
class Fitted:
    """A model, what it says of each validation product, and how its main member was fitted.

    `validated` has a row for each product of `fit`'s features that was in a validation part, in
    their order, said by members that were not fitted on it; `held` is boolean of shape (n,).
    """

    model: FusedModel
    held: np.ndarray
    validated: Answers
    history: dict[str, list[float]]


def fit(
    kind: str,
    settings: Any,
    strategy: str,
    seed: int,
    features: Features,
    parts: np.ndarray,
    fits: Fits,
) -> Fitted:
    """Fit the members on training products, and pool them on validation products.

    `features` are of products none of which is for testing; `parts`, of shape (n,), says train or
    validation of each, or validation-1, validation-2 and so on: then each of these parts is left
    out in its turn, and the members are fitted on all products in the end. What `fits` has of
    another modality's fit to the same products and blocks is taken from there. Raises InputError
    where the products do not allow it.
    """
    turns = list(_turns(parts))
    if not turns:
        raise InputError("no validation product has anything to see: give more products")
    held = np.logical_or.reduce([validation for _, validation in turns])
    final = ~held if len(turns) == 1 else np.ones(len(parts), dtype=bool)
    classes = sorted(set(features.labels[final].tolist()))
    kinds = sorted({features.kinds[name] for name in features.blocks})
    views, judges = kinds, {kind: [kind] for kind in kinds}
    if len(kinds) > 1:
        views = kinds if strategy == "late" else [BOTH, *kinds]
        judges[BOTH] = [BOTH] if strategy == "early" else views

    raw: dict[str, np.ndarray] = {}
    histories: list[dict[str, dict[str, list[float]]]] = []
    for train, validation in turns:
        projected = projection.fit(features.where(train), seed, fits)
        ready = projected.apply(features)
        fit_on, watched = ready.where(train), ready.where(validation)
        del ready  # or a large catalogue would be in memory once more
        members = {
            view: _member(kind, settings, seed, _seen(fit_on, view), watched, fits)
            for view in views
        }
        histories.append({view: member.history for view, member in members.items()})
        for view, answers in _raw(members, watched, classes).items():
            raw.setdefault(view, np.zeros((len(parts), len(classes)), np.float32))
            raw[view][validation] = answers
    if len(turns) > 1:
        projected = projection.fit(features, seed, fits)
        ready = projected.apply(features)
        members = {
            view: _member(
                kind,
                _stopped(settings, [history[view] for history in histories]),
                seed,
                _seen(ready, view),
                None,
                fits,
            )
            for view in views
        }

    raw = {view: answers[held] for view, answers in raw.items()}
    waiting = features.where(held)
    pools = {}
    for view, judging in judges.items():
        usable = _sees(waiting, view) & np.isin(waiting.labels, classes)
        if not usable.any():
            raise InputError(
                "no validation product has both pictures and texts: raise split.validation in "
                "params.yaml, or give more products"
            )
        seen = final if view == BOTH else final & features.has(view)
        fitted_on = np.searchsorted(classes, features.labels[seen])
        frequencies = np.bincount(fitted_on, minlength=len(classes)) / len(fitted_on)
        truth = np.searchsorted(classes, waiting.labels[usable])
        pools[view] = fit_pool({name: raw[name][usable] for name in judging}, truth, frequencies)
    model = FusedModel(kind, classes, projected, members, pools)
    validated = _answers(raw, waiting, pools)
    return Fitted(model, held, validated, histories[0][views[0]])


def _turns(parts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield which products to fit on and which to validate with, in each turn."""
    for name in sorted(set(parts.tolist()) - {"train"}):
        yield parts != name, parts == name


def _sees(features: Features, view: str) -> np.ndarray:
    """Return which products have what a view needs, boolean of shape (n,)."""
    kinds = {features.kinds[name] for name in features.blocks} if view == BOTH else {view}
    return np.logical_and.reduce([features.has(kind) for kind in sorted(kinds)])


def _seen(features: Features, view: str) -> Features:
    """Return what a view sees of the products that have it: for both, all that have anything."""
    if view == BOTH:
        return features
    return features.where(features.has(view)).of({view})


def _member(
    kind: str, settings: Any, seed: int, train: Features, validation: Features | None, fits: Fits
) -> Model:
    """Fit a member; raises InputError where there is nothing to tell apart or to validate with."""
    kinds = {train.kinds[name] for name in train.blocks}
    sees = " or ".join(sorted(kinds))
    known = sorted(set(train.labels.tolist()))
    if len(known) < 2:
        raise InputError(
            f"the training products with {sees} input are of {len(known)} classes; "
            "two are needed: see metrics/data.json"
        )
    if validation is not None:
        validation = validation.of(kinds)
        validation = validation.where(validation.seen())
        if not np.isin(validation.labels, known).any():
            raise InputError(
                f"no validation product with {sees} input is of a class to train on: raise "
                "split.validation or lower split.validation_folds in params.yaml, or give more "
                "products"
            )
    fit_one = partial(module_of(kind).fit, settings, seed, train, validation)
    return fits.once(fit_one, "member", f"{kind} {settings!r} {seed}", train, validation)


def _stopped(settings: Any, histories: Sequence[dict[str, list[float]]]) -> Any:
    """Return the settings with as many epochs as were best on validation, in the median."""
    if not histories[0]:
        return settings
    best = [int(np.argmin(history["validation_loss"])) + 1 for history in histories]
    return settings.model_copy(update={"max_epochs": int(np.median(best))})


def _raw(
    members: dict[str, Model], features: Features, classes: list[str]
) -> dict[str, np.ndarray]:
    """Return each member's probabilities of the products that have what it sees, else zeros."""
    found = {}
    for view, member in members.items():
        sees = _sees(features, view)
        rows = np.zeros((len(sees), len(classes)), dtype=np.float32)
        if sees.any():
            columns = np.searchsorted(classes, member.classes)
            rows[np.ix_(sees, columns)] = member.predict_proba(_seen(features.where(sees), view))
        found[view] = rows
    return found


def _answers(raw: dict[str, np.ndarray], features: Features, pools: dict[str, Pool]) -> Answers:
    """Let each product be judged by the pool for what it has."""
    shape = next(iter(raw.values())).shape
    answers = Answers(np.zeros(shape, np.float32), np.zeros(shape, np.float32))
    # From the narrowest to the widest view, so that the widest that applies stays.
    for view in sorted(pools, key=lambda view: view == BOTH):
        sees = _sees(features, view)
        given = {name: raw[name][sees] for name in pools[view].weights}
        answers.probabilities[sees] = pooled(given, pools[view])
        answers.uncalibrated[sees] = _evenly(given)
    return answers


def _evenly(given: dict[str, np.ndarray]) -> np.ndarray:
    """Return members' probabilities before anything is learnt of them: all trusted alike."""
    if len(given) == 1:
        return next(iter(given.values()))
    classes = next(iter(given.values())).shape[1]
    return pooled(given, Pool(dict.fromkeys(given, 1 / len(given)), 0, [1 / classes] * classes))
