from dataclasses import dataclass

import numpy as np
import pytest

from stages.evaluation.weak_slices import MIN_GROUPS, slices_of, weak_slices

PRODUCTS, CLASSES, MAKERS = 2000, 15, 60
LANGUAGES = ("lamp ", "โคมไฟ ", "灯具 ")


@dataclass
class Catalogue:
    """Test products in near-duplicate groups, each of one maker and class, and their predictions.

    85 % are predicted right. In most groups the products are right or wrong together.
    """

    groups: np.ndarray
    makers: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    names: list[str]
    has_image: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        return self.labels == self.predictions

    def weak_slices(self, rows: np.ndarray | slice = slice(None)):
        slices = slices_of(
            manufacturers=[f"maker {i}" for i in self.makers[rows]],
            labels=[f"class {i}" for i in self.labels[rows]],
            names=np.array(self.names)[rows].tolist(),
            descriptions=[""] * len(self.labels[rows]),
            has_image=self.has_image[rows],
        )
        return weak_slices(self.correct[rows], self.groups[rows], slices)


def simulated(seed: int) -> Catalogue:
    rng = np.random.default_rng(seed)
    sizes = rng.geometric(0.5, size=PRODUCTS)
    group = np.repeat(np.arange(PRODUCTS), sizes)[:PRODUCTS]
    share = 1 / np.arange(1, MAKERS + 1) ** 0.7
    makers = rng.choice(MAKERS, size=PRODUCTS, p=share / share.sum())[group]
    labels = rng.integers(CLASSES, size=PRODUCTS)[group]
    together = rng.random(PRODUCTS)[group] < 0.8
    draws = np.where(together, rng.random(PRODUCTS)[group], rng.random(PRODUCTS))
    languages = rng.choice(LANGUAGES, p=(0.8, 0.1, 0.1), size=PRODUCTS)
    lengths = rng.integers(20, size=PRODUCTS)
    return Catalogue(
        groups=np.array([f"g{i}" for i in group]),
        makers=makers,
        labels=labels,
        predictions=np.where(draws < 0.85, labels, others(labels, rng)),
        names=[
            word * count for word, count in zip(languages.tolist(), lengths.tolist(), strict=True)
        ],
        has_image=rng.random(PRODUCTS) < 0.9,
    )


def others(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (labels + rng.integers(1, CLASSES, size=len(labels))) % CLASSES


@pytest.fixture(scope="module")
def faulty() -> Catalogue:
    """A catalogue in which maker 2's labels are wrong, and images of class 4 were swapped."""
    catalogue, rng = simulated(0), np.random.default_rng(0)
    swapped = (catalogue.labels == 4) & (rng.random(PRODUCTS) < 0.45)
    catalogue.predictions[swapped] = others(catalogue.labels, rng)[swapped]
    flipped = catalogue.makers == 2
    catalogue.labels[flipped] = others(catalogue.labels, rng)[flipped]
    return catalogue


def test_a_makers_wrong_labels_and_a_classs_swapped_images_are_found_and_nothing_else(faulty):
    found, _ = faulty.weak_slices()
    assert {(one.attribute, one.value) for one in found} == {
        ("manufacturer", "maker 2"),
        ("class", "class 4"),
    }
    mistakes = [(one.mean - one.accuracy) * one.products for one in found]
    assert mistakes[0] > mistakes[1] > 0


def test_a_weak_slice_is_described_by_its_products_and_a_corrected_interval(faulty):
    found, tried = faulty.weak_slices()
    one = next(one for one in found if one.value == "maker 2")
    rows = faulty.makers == 2
    assert one.products == rows.sum()
    assert one.groups == len(set(faulty.groups[rows]))
    assert one.accuracy == faulty.correct[rows].mean()
    assert one.low <= one.accuracy < one.high < one.mean == faulty.correct.mean()
    assert one.tried == tried > CLASSES


def test_a_model_that_is_equally_good_everywhere_has_no_weak_slice():
    alarms = sum(len(simulated(seed).weak_slices()[0]) > 0 for seed in range(20))
    assert alarms <= 1


def test_the_order_of_the_products_changes_nothing(faulty):
    order = np.random.default_rng(1).permutation(PRODUCTS)
    assert faulty.weak_slices(order) == faulty.weak_slices()


def alone(count: int, prefix: str = "p") -> list[str]:
    return [f"{prefix}{i}" for i in range(count)]


def test_a_slice_of_few_groups_is_not_tried():
    correct = np.arange(1000) >= 70
    tenfold = np.repeat(alone(7), 10).tolist()
    few = {"manufacturer": {"few": np.arange(70)}}
    assert weak_slices(correct, np.array(tenfold + alone(930, "q")), few) == ([], 0)
    found, tried = weak_slices(correct, np.array(alone(70) + alone(930, "q")), few)
    assert [one.value for one in found] == ["few"] and tried == 1
    assert MIN_GROUPS > 7


@pytest.mark.parametrize(("wrong_groups", "values"), [(1, []), (30, ["maker 0"])])
def test_thirty_near_duplicates_that_are_wrong_are_one_mistake(wrong_groups, values):
    # Each of 30 makers has a mistake in 100 products, and maker 0 has thirty more. A binomial
    # interval for the effective number of products would call it weak in both cases.
    correct = np.append(np.arange(3000) % 100 > 0, [False] * 30)
    mistakes = np.repeat(alone(wrong_groups, "m"), 30 // wrong_groups).tolist()
    makers = {f"maker {i}": np.arange(100 * i, 100 * (i + 1)) for i in range(30)}
    makers["maker 0"] = np.append(makers["maker 0"], np.arange(3000, 3030))
    found, tried = weak_slices(correct, np.array(alone(3000) + mistakes), {"manufacturer": makers})
    assert [one.value for one in found] == values and tried == 30


def test_the_only_mistakes_of_a_catalogue_are_no_weak_slice_if_they_are_in_one_group():
    groups = np.array(["g"] * 30 + alone(100_000))
    slices = {"class": {"lamps": np.arange(130)}}
    assert weak_slices(np.arange(100_030) >= 30, groups, slices) == ([], 1)


def test_where_everything_is_wrong_the_interval_is_the_binomial_one():
    found, _ = weak_slices(
        np.arange(100) >= 20, np.array(alone(100)), {"class": {"lamps": np.arange(20)}}
    )
    assert found[0].high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert found[0].low == 0


def test_slices_of_the_same_products_count_once():
    correct, groups = np.arange(1000) >= 40, np.array(alone(1000))
    one, other = np.arange(50), np.arange(50, 90)
    slices = {"manufacturer": {"Acme": one}, "class": {"lamps": one, "pots": other}}
    found, tried = weak_slices(correct, groups, slices)
    assert tried == 2
    assert [(each.attribute, each.value) for each in found] == [("manufacturer", "Acme")]


def test_products_are_sliced_by_what_users_know_of_them():
    slices = slices_of(
        manufacturers=["Acme", "", "Acme", "", ""],
        labels=["lamps", "lamps", "pots", "pots", "pots"],
        names=["Lamp", "灯具 A", "Pot", "12", ""],
        descriptions=["", "", "กาต้มน้ำ", "", ""],
        has_image=np.array([True, False, True, True, True]),
    )
    rows = {key: {name: each.tolist() for name, each in of.items()} for key, of in slices.items()}
    assert rows == {
        "manufacturer": {"Acme": [0, 2], "no manufacturer": [1, 3, 4]},
        "class": {"lamps": [0, 1], "pots": [2, 3, 4]},
        "missing input": {"no image": [1], "no text": [4]},
        "text length": {
            "text of 2 characters": [3],
            "text of 4 characters": [0, 1],
            "text of 11 characters": [2],
        },
        "script": {"latin": [0], "cjk": [1], "thai": [2], "no letters": [3]},
    }


def test_bands_of_length_have_as_many_texts_each():
    names = ["x" * length for length in range(1, 101)]
    bands = slices_of([""] * 100, ["a"] * 100, names, [""] * 100, np.ones(100, bool))["text length"]
    assert {name: len(rows) for name, rows in bands.items()} == {
        "text of 1 to 25 characters": 25,
        "text of 26 to 50 characters": 25,
        "text of 51 to 75 characters": 25,
        "text of 76 to 100 characters": 25,
    }


def test_products_without_any_text_are_in_no_band():
    slices = slices_of(["", ""], ["a", "b"], ["", ""], ["", ""], np.array([True, True]))
    assert slices["text length"] == slices["script"] == {}
