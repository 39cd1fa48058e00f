"""The members of models: one classifier for each combination of blocks that a model sees.

A modality that sees image and text has a member for the image alone, one for the text alone and,
but in late fusion, one for all blocks side by side. Modalities share the members that see the same
blocks with the same weights.
"""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stages.classifiers.base.interface import Classifier, module_of
from stages.common.blocks import mean_key
from stages.common.errors import InputError
from stages.fusion.features import Features, FeaturesMetadata, scaled_weights

BOTH = "both"


@dataclass(frozen=True)
class Member:
    """What a member sees; its name and the first modality that has it tell it from others."""

    name: str  # image, text or both
    modality: str
    block_weights: dict[str, float] = field(compare=False)


@dataclass(frozen=True)
class MemberPredictions:
    """A member's probabilities, float32 (n, classes): zeros unless `sees`, boolean (n,), holds.

    `known` says which classes it was fitted on when it predicted a product, boolean (n, classes).
    """

    sees: np.ndarray
    probabilities: np.ndarray
    known: np.ndarray

    def select(
        self, rows: np.ndarray, columns: np.ndarray | slice = slice(None)
    ) -> "MemberPredictions":
        """Return the predictions for some products, boolean (n,), and classes, int."""
        return MemberPredictions(
            self.sees[rows], self.probabilities[rows][:, columns], self.known[rows][:, columns]
        )


def plan_members(metadata: FeaturesMetadata, strategy: str) -> dict[str, dict[str, Member]]:
    """Return the members of each modality by name, in the order in which they are fitted."""
    known: dict[tuple[tuple[str, float], ...], Member] = {}
    plan: dict[str, dict[str, Member]] = {}
    for modality, block_weights in metadata.modalities.items():
        blocks: dict[str, list[str]] = {}
        for block in sorted(block_weights, key=lambda block: metadata.inputs[block]):
            blocks.setdefault(metadata.inputs[block], []).append(block)
        weights = {name: scaled_weights(block_weights, blocks[name]) for name in blocks}
        if len(blocks) > 1 and strategy != "late":
            weights = {BOTH: block_weights, **weights}
        plan[modality] = {}
        for name, own in weights.items():
            # A weight is a quotient, whose last bits depend on what it was computed from.
            key = tuple((block, round(weight, 9)) for block, weight in own.items())
            plan[modality][name] = known.setdefault(key, Member(name, modality, own))
    return plan


def fit_member(
    member: Member,
    kind: str,
    settings: Any,
    seed: int,
    train: Features,
    validation: Features | None,
    means: Mapping[str, np.ndarray],
    needs_validation: bool = True,
) -> tuple[Classifier, np.ndarray]:
    """Fit a member on the products that have one of its blocks; `means` were taken off these.

    Return its classifier, and which of `train` it was fitted on, boolean of shape (n,). Raises
    InputError where there is nothing to tell apart, or no validation product to see although it
    `needs_validation`.
    """
    train = train.select_blocks(member.block_weights)
    used = train.any_present()
    train = train.select_rows(used)
    inputs = " or ".join(sorted(set(train.inputs.values())))
    classes = sorted(set(train.labels.tolist()))
    if len(classes) < 2:
        raise InputError(
            f"{member.modality}: the training products with {inputs} input are of {len(classes)} "
            "classes; two are needed: give such input to products of more classes, or to none, "
            "which leaves out the models that need it"
        )
    pair = None
    if validation is not None:
        validation = validation.select_blocks(member.block_weights)
        validation = validation.select_rows(validation.any_present())
        if np.isin(validation.labels, classes).any():
            pair = validation.X, validation.labels
        elif needs_validation:
            raise InputError(
                f"{member.modality}: no validation product with {inputs} input is of a class to "
                "train on: raise split.validation or lower split.validation_folds in params.yaml, "
                "or give such input to more products, or to none"
            )
    classifier = module_of(kind).Classifier(settings, seed, member.block_weights)
    X = train.X
    if settings.reads_means:
        X = {**X, **{mean_key(name): means[name] for name in member.block_weights}}
    with warnings.catch_warnings():
        # Of many small classes scikit-learn suspects, for each tree, that labels are quantities.
        warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50")
        return classifier.fit(X, train.labels, pair), used


def predict_member(
    classifier: Classifier, features: Features, classes: Iterable[str]
) -> MemberPredictions:
    """Predict with a member for the products that have all of its modalities.

    `features` are of its blocks, preprocessed; `classes` name the columns of the result, and those
    that the member does not know get 0.
    """
    classes = list(classes)
    sees = features.has_all_modalities()
    probabilities = np.zeros((len(sees), len(classes)), dtype=np.float32)
    columns = np.searchsorted(classes, classifier.classes_)
    known = np.zeros(len(classes), dtype=bool)
    known[columns] = True
    if sees.any():
        found = classifier.predict_proba(features.select_rows(sees).X)
        probabilities[np.ix_(sees, columns)] = found
    return MemberPredictions(sees, probabilities, np.broadcast_to(known, probabilities.shape))


def neutral_where_unknown(
    members: Mapping[str, MemberPredictions], frequencies: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the members' probabilities as they are pooled, float32 of shape (n, classes).

    A member says nothing for or against a class that it was not fitted on: where another member
    was, the class gets its share in `frequencies`, of shape (classes,), and the member's own
    classes what is left. Its 0 would rule the class out, such as that of all products whose images
    failed, as soon as one of them has an image.
    """
    by_any = np.logical_or.reduce([one.known for one in members.values()])
    found = {}
    for name, one in members.items():
        found[name] = one.probabilities
        if (missing := by_any & ~one.known).any():
            shares = np.where(missing, frequencies.astype(np.float32), np.float32(0))
            found[name] = found[name] * (1 - shares.sum(axis=1, keepdims=True)) + shares
    return found


def pool_names(members: Mapping[str, Any], strategy: str) -> dict[str, list[str]]:
    """Return for what a product has, image, text or both, the members that are pooled for it."""
    pools = {name: [name] for name in members if name != BOTH}
    if len(pools) > 1:
        pools[BOTH] = [BOTH] if strategy == "early" else list(members)
    return pools


def rows_by_pool(by_member: Mapping[str, np.ndarray], combine: np.ufunc) -> dict[str, np.ndarray]:
    """Return the rows, boolean (n,), of each pool: those of the members of one modality.

    Those of both are the rows of the modalities' members, combined.
    """
    rows = {name: chosen for name, chosen in by_member.items() if name != BOTH}
    if len(rows) > 1:
        rows[BOTH] = combine.reduce(list(rows.values()))
    return rows
