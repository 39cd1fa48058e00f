import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from stages import evaluate
from stages.errors import InputError
from stages.files import write_text
from stages.scores import judge, per_class, score
from stages.tables import PRODUCTS, probabilities_schema, vector_column, write_table

CLASSES = ["audio", "cables, long", "games"]
TOP = Path(__file__).parent.parent
WEIGHTS = {"resnet50": "random", "convnextv2": "random", "minilm": "bundled"}


class Repository:
    """A folder with what evaluate reads: params.yaml, products, and models to be put there."""

    def __init__(self, classifiers: Sequence[str] = ("svm", "mlp")) -> None:
        self.params: dict[str, Any] = YAML(typ="safe").load(TOP / "params.yaml")
        known = self.params["classifiers"]
        self.params["classifiers"] = {name: known[name] for name in classifiers}
        self.labels = [CLASSES[at % 3] for at in range(30)]
        self.splits = ["train"] * 12 + ["validation"] * 6 + ["test"] * 12
        self.skus = [f"s{at}" for at in range(30)]

    def write(self, wrong: Mapping[str, tuple[int, int]] | None = None) -> None:
        """Write it all; `wrong` has the mistakes of a model on validation and test."""
        with Path("params.yaml").open("w") as file:
            YAML().dump(self.params, file)
        texts = [self.skus, [f"Product {sku}" for sku in self.skus], *[[""] * 30] * 2, self.labels]
        columns = [pa.array(column) for column in texts] + [pa.array([None] * 30, pa.string())]
        write_table(Path("data/products.parquet"), pa.table(columns, schema=PRODUCTS))
        for modality, entry in self.params["modalities"].items():
            for classifier in self.params["classifiers"]:
                mistakes = (wrong or {}).get(f"{modality}-{classifier}", (1, 2))
                self.write_model(modality, classifier, mistakes, _encoders(entry))

    def write_model(
        self, modality: str, classifier: str, mistakes: tuple[int, int], encoders: Sequence[str]
    ) -> None:
        """Write a model that takes the first so many products for the class after theirs."""
        rows = []
        for split, count in zip(("validation", "test"), mistakes, strict=True):
            at = [i for i in range(30) if self.splits[i] == split]
            rows += [(i, int(n < count)) for n, i in enumerate(at)]
        probabilities = np.full((len(rows), 3), 0.1, dtype=np.float32)
        for row, (i, shift) in enumerate(rows):
            probabilities[row, (CLASSES.index(self.labels[i]) + shift) % 3] = 0.8
        columns = [[source[i] for i, _ in rows] for source in (self.skus, self.labels, self.splits)]
        table = pa.table(
            [*map(pa.array, columns), vector_column(probabilities)], schema=probabilities_schema(3)
        )
        facts = {
            "classes": CLASSES,
            "weights": {name: WEIGHTS[name] for name in encoders},
            "unseen": {"validation": 0, "test": 3},
        }
        folder = Path("models") / f"{modality}-{classifier}"
        write_table(folder / "probabilities.parquet", table, facts)
        if classifier == "mlp":
            lines = [",".join(evaluate.HISTORY), "1,1.5,1.6,0.3,0.2", "2,1.1,1.4,0.5,0.4"]
            (folder / "history.csv").write_text("\n".join(lines) + "\n")


def _encoders(entry: Mapping[str, Any]) -> list[str]:
    within = {"image": ["resnet50", "convnextv2"], "text": ["minilm"]}
    return within.get(entry["embeddings"].rsplit("/")[-1], [*within["image"], *within["text"]])


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.chdir(tmp_path)
    return Repository()


def read_json(path: str) -> Any:
    return json.loads(Path(path).read_text())


def read_csv(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def files_below(*folders: str) -> dict[str, bytes]:
    paths = [path for folder in folders for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in paths}


def test_metrics_are_of_the_test_products_in_the_order_of_params(repository: Repository):
    repository.write({"text-svm": (0, 3)})
    evaluate.main()
    models = read_json("metrics/models.json")
    assert list(models) == ["image", "text", "multimodal"]
    assert list(models["text"]) == ["svm", "mlp", "weights"]
    svm = models["text"]["svm"]
    assert svm["accuracy"] == 0.75
    assert svm["validation"] == {"accuracy": 1.0, "macro_f1": 1.0}
    assert (svm["products"], svm["unseen"]) == (12, 3)
    assert svm["top3_accuracy"] == 1.0
    assert svm["log_loss"] == pytest.approx(-(9 * np.log(0.8) + 3 * np.log(0.1)) / 12, abs=1e-4)
    assert models["text"]["weights"] == {"minilm": "bundled"}


def test_the_best_model_is_chosen_on_validation_alone(repository: Repository):
    repository.write({"text-svm": (2, 0), "text-mlp": (1, 6)})
    evaluate.main()
    assert read_json("metrics/headline.json")["text"] == {
        "model": "mlp",
        "accuracy": 0.5,
        "macro_f1": 0.5,
    }


def test_of_equals_the_first_in_params_is_best(repository: Repository):
    repository.write({"text-svm": (1, 6), "text-mlp": (1, 0)})
    evaluate.main()
    assert read_json("metrics/headline.json")["text"]["model"] == "svm"


def test_the_fusion_gain_compares_the_models_that_validation_chose(repository: Repository):
    repository.write(
        {
            "image-svm": (3, 0),  # good by luck: not chosen over text
            "image-mlp": (3, 0),
            "text-svm": (1, 3),
            "text-mlp": (1, 3),
            "multimodal-svm": (0, 6),
            "multimodal-mlp": (1, 0),
        }
    )
    evaluate.main()
    assert read_json("metrics/headline.json")["fusion_gain"]["accuracy"] == -0.25


def test_there_is_no_fusion_gain_without_a_modality_that_sees_both(repository: Repository):
    del repository.params["modalities"]["multimodal"]
    repository.write()
    evaluate.main()
    assert "fusion_gain" not in read_json("metrics/headline.json")


def test_the_headline_says_what_rests_on_random_weights(repository: Repository):
    repository.write()
    evaluate.main()
    assert read_json("metrics/headline.json")["weights"] == {
        "image": "RANDOM: resnet50, convnextv2",
        "text": "bundled: minilm",
        "multimodal": "RANDOM: resnet50, convnextv2; bundled: minilm",
    }


def test_predictions_have_a_row_per_test_product(repository: Repository):
    repository.write({"text-svm": (0, 1)})
    evaluate.main()
    first = pq.read_table("data/predictions/text-svm.parquet").to_pylist()[0]
    assert first["probability"] == pytest.approx(0.8)
    del first["probability"]
    assert first == {
        "sku": "s18",
        "name": "Product s18",
        "label": "audio",
        "prediction": "cables, long",
        "top3": ["cables, long", "audio", "games"],
    }
    pairs = read_csv("data/predictions/text-svm.csv")
    assert len(pairs) == 12
    assert pairs[:2] == [
        {"Predictions": "cables, long", "True Labels": "audio"},
        {"Predictions": "cables, long", "True Labels": "cables, long"},
    ]


def test_the_confusion_table_counts_and_shares(repository: Repository):
    repository.write({"text-svm": (0, 1)})
    evaluate.main()
    cells = {
        (row["actual"], row["predicted"]): (row["products"], row["share"])
        for row in read_csv("plots/confusion/text.csv")
    }
    assert cells == {
        ("audio", "audio"): ("3", "0.75"),
        ("audio", "cables, long"): ("1", "0.25"),
        ("cables, long", "cables, long"): ("4", "1.0"),
        ("games", "games"): ("4", "1.0"),
    }


def test_classes_are_listed_from_the_largest_with_each_modality(repository: Repository):
    repository.labels[18] = "games"
    repository.write()
    evaluate.main()
    rows = read_csv("plots/per_class.csv")
    assert [row["class"] for row in rows[::3]] == ["games", "cables, long", "audio"]
    assert [row["modality"] for row in rows[:3]] == ["image", "text", "multimodal"]
    assert [row["support"] for row in rows[::3]] == ["5", "4", "3"]


def test_learning_curves_are_those_of_every_modality(repository: Repository):
    repository.write()
    evaluate.main()
    rows = read_csv("plots/learning_curves.csv")
    assert [(row["modality"], row["epoch"]) for row in rows] == [
        (modality, epoch) for modality in ("image", "text", "multimodal") for epoch in "12"
    ]
    assert rows[1]["validation_loss"] == "1.4"


def test_without_an_mlp_the_learning_curves_have_no_rows(repository: Repository):
    del repository.params["classifiers"]["mlp"]
    repository.write()
    evaluate.main()
    assert read_csv("plots/learning_curves.csv") == []


def test_what_former_params_left_behind_goes(
    repository: Repository, capsys: pytest.CaptureFixture[str]
):
    repository.write()
    for name in ("image", "text"):
        write_text(Path(f"plots/pca/{name}.csv"), "x,y,label\n")
    evaluate.main()
    del repository.params["modalities"]["text"]
    del repository.params["classifiers"]["mlp"]
    repository.write()
    evaluate.main()
    assert sorted(path.name for path in Path("models").iterdir()) == ["image-svm", "multimodal-svm"]
    assert "removing models/text-mlp" in capsys.readouterr().out
    assert sorted(path.name for path in Path("plots/confusion").iterdir()) == [
        "image.csv",
        "multimodal.csv",
    ]
    assert [path.name for path in Path("plots/pca").iterdir()] == ["image.csv"]
    assert len(list(Path("data/predictions").iterdir())) == 4


@pytest.mark.parametrize("name", ["notes", "image-svm-old"])
def test_a_folder_that_is_no_model_is_named_and_left_alone(repository: Repository, name: str):
    repository.write()
    (Path("models") / name).mkdir()
    with pytest.raises(InputError, match=f"models/{name} is no model"):
        evaluate.main()
    assert (Path("models") / name).is_dir()


def test_the_same_models_give_the_same_bytes(repository: Repository):
    repository.write()
    evaluate.main()
    first = files_below("metrics", "plots", "data/predictions")
    evaluate.main()
    assert files_below("metrics", "plots", "data/predictions") == first


def test_a_missing_model_is_named(repository: Repository):
    repository.write()
    Path("models/text-svm/probabilities.parquet").unlink()
    with pytest.raises(InputError, match=r"models/text-svm/probabilities\.parquet is not there"):
        evaluate.main()


def test_a_split_without_products_is_named(repository: Repository):
    repository.splits = ["train"] * 18 + ["test"] * 12
    repository.write()
    with pytest.raises(InputError, match=r"no validation product: raise split\.validation"):
        evaluate.main()


def test_a_history_with_other_columns_is_named(repository: Repository):
    repository.write()
    Path("models/text-mlp/history.csv").write_text("epoch,loss\n1,2\n")
    with pytest.raises(InputError, match=r"models/text-mlp/history\.csv"):
        evaluate.main()


@pytest.mark.parametrize("name", ["weights", "fusion_gain"])
def test_a_modality_cannot_hide_other_metrics(repository: Repository, name: str):
    repository.params["modalities"][name] = {"embeddings": "data/embeddings/text"}
    repository.write()
    with pytest.raises(InputError, match=rf"modalities\.{name} needs another name"):
        evaluate.main()


def test_a_class_absent_from_test_is_left_out_of_the_means_unless_taken_for_one():
    never = judge(["a", "b", "c"], ["a", "b"], np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]]))
    assert score(never)["macro_f1"] == 1.0
    assert np.isnan(per_class(never).f1[2])
    once = judge(["a", "b", "c"], ["a", "b"], np.array([[0.9, 0.1, 0.0], [0.1, 0.2, 0.7]]))
    assert score(once)["macro_f1"] == pytest.approx(1 / 3)
    assert score(once)["balanced_accuracy"] == 0.5


def test_a_label_that_the_model_never_met_counts_as_a_mistake():
    judged = judge(["a", "b"], ["a", "new"], np.array([[0.9, 0.1], [0.6, 0.4]]))
    figures = score(judged)
    assert judged.classes == ["a", "b", "new"]
    assert figures["accuracy"] == 0.5
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)
    assert np.isfinite(figures["log_loss"])
