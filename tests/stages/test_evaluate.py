import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.repository import TOP
from helpers.trained_models import TrainedModels
from PIL import Image
from ruamel.yaml import YAML

from stages import evaluate
from stages.common.errors import InputError
from stages.evaluation.summary import UNIMODAL_BASELINES
from stages.reporting.results_text import report


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainedModels:
    monkeypatch.chdir(tmp_path)
    return TrainedModels()


def read_json(path: str) -> Any:
    return json.loads(Path(path).read_text())


def read_csv(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def files_below(*folders: str) -> dict[str, bytes]:
    paths = [path for folder in folders for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in paths}


def test_metrics_are_of_the_test_products_in_the_order_of_params(repository: TrainedModels):
    repository.write({"text-svm": (0, 3)})
    evaluate.main()
    models = read_json("metrics/models.json")
    assert list(models) == ["image", "text", "multimodal"]
    assert list(models["text"]) == ["svm", "mlp", "weights"]
    svm = models["text"]["svm"]
    assert svm["accuracy"] == 0.75
    assert svm["interval"]["accuracy"]["low"] < 0.75 < svm["interval"]["accuracy"]["high"]
    assert svm["validation"] == {"accuracy": 1.0, "macro_f1": 1.0, "share_with_input": 1.0}
    assert svm["calibration_error"] == {"before": 0.15, "after": 0.05}
    assert (svm["products"], svm["n_without_input"]) == (12, 3)
    assert svm["top3_accuracy"] == 1.0
    assert svm["log_loss"] == pytest.approx(-(9 * np.log(0.8) + 3 * np.log(0.1)) / 12, abs=1e-4)
    assert models["text"]["weights"] == {"minilm": "bundled"}


def test_the_best_model_is_chosen_on_validation_alone(repository: TrainedModels):
    repository.write({"text-svm": (2, 0), "text-mlp": (1, 6)})
    evaluate.main()
    text = read_json("metrics/headline.json")["text"]
    assert [text[key] for key in ("model", "accuracy", "macro_f1")] == ["mlp", 0.5, 0.5]
    low, high = map(float, text["accuracy_interval"].split(" to "))
    assert low < 0.5 < high


def test_of_equals_the_first_in_params_is_best(repository: TrainedModels):
    repository.write({"text-svm": (1, 6), "text-mlp": (1, 0)})
    evaluate.main()
    assert read_json("metrics/headline.json")["text"]["model"] == "svm"


def test_the_fusion_gain_compares_the_models_that_validation_chose(repository: TrainedModels):
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
    headline = read_json("metrics/headline.json")["fusion_gain"]
    assert headline["accuracy"] == -0.25
    low, high = map(float, headline["accuracy_interval"].split(" to "))
    assert low < -0.25 < high
    gain = read_json("metrics/summary.json")["fusion_gain"]
    assert (gain["model"], gain["baseline"]) == ("multimodal-svm", "text-svm")
    assert gain["accuracy"]["difference"] == -0.25
    assert gain["accuracy"]["low"] < -0.25 < gain["accuracy"]["high"]
    assert (gain["products"], gain["mcnemar_p"]) == (12, 0.25)


def test_each_classifier_of_both_inputs_is_compared_with_itself_on_text(repository: TrainedModels):
    repository.write({"multimodal-svm": (1, 9), "multimodal-mlp": (1, 0)})
    evaluate.main()
    against = read_json("metrics/summary.json")["multimodal_against_text"]
    models = against["models"]
    assert list(models) == ["multimodal-svm", "multimodal-mlp"]
    assert models["multimodal-svm"]["accuracy"]["high"] < 0
    assert models["multimodal-mlp"]["accuracy"]["difference"] == 0.1667
    assert [found["baseline"] for found in models.values()] == ["text-svm", "text-mlp"]
    each = [found["accuracy"]["difference"] for found in models.values()]
    mean = against["mean"]["accuracy"]
    assert mean["low"] < mean["difference"] == round(sum(each) / 2, 4) < mean["high"]


def test_a_model_without_an_input_is_compared_with_its_unimodal_baseline(repository: TrainedModels):
    repository.write(ablated_wrong={"multimodal-svm": (5, 8)})
    evaluate.main()
    summary = read_json("metrics/summary.json")
    found = {
        question: summary[question]["models"]["multimodal-svm"]["accuracy"]["difference"]
        for question in ("image_ablated", "text_ablated")
    }
    assert found == {"image_ablated": -0.25, "text_ablated": -0.5}
    assert summary["text_ablated"]["models"]["multimodal-svm"]["baseline"] == "image-svm"


def test_what_has_no_unimodal_baseline_is_not_compared(repository: TrainedModels):
    del repository.params["modalities"]["text"]
    repository.write()
    evaluate.main()
    summary = read_json("metrics/summary.json")
    assert "multimodal_against_text" not in summary and "image_ablated" not in summary
    assert "text_ablated" in summary and "fusion_gain" in summary


def test_with_several_folds_each_product_is_tested_once(repository: TrainedModels):
    repository.folds[2] = {"validation": list(range(18, 24)), "test": list(range(18))}
    repository.write({"text-svm": (2, 3)})
    evaluate.main()
    svm = read_json("metrics/models.json")["text"]["svm"]
    assert (svm["products"], svm["accuracy"]) == (30, 0.8)
    assert svm["validation"]["accuracy"] == 0.6667
    assert len(read_csv("data/predictions/text-svm.csv")) == 30
    assert read_json("metrics/summary.json")["label_issues"]["audited"] == 30


def test_coverage_is_there_for_every_model_and_in_the_summary_for_the_best(
    repository: TrainedModels,
):
    repository.write({"text-mlp": (0, 3), "image-mlp": (6, 0)})
    evaluate.main()
    models = read_json("metrics/models.json")
    # So few validation products promise nothing; without a promise all would be accepted.
    nothing = {"coverage": 0.0, "accuracy": None, "threshold": None}
    assert models["text"]["mlp"]["coverage"]["at_95_percent"] == {
        **nothing,
        "coverage_unpromised": 1.0,
        "accuracy_unpromised": 0.75,
    }
    assert models["image"]["mlp"]["coverage"]["at_99_percent"] == {
        **nothing,
        "coverage_unpromised": 0.0,
        "accuracy_unpromised": None,
    }
    summary = read_json("metrics/summary.json")
    assert summary["best_model"] == "text-mlp"
    assert summary["coverage"] == models["text"]["mlp"]["coverage"]


def test_labels_that_look_wrong_are_listed_with_what_they_should_be(repository: TrainedModels):
    repository.write({"text-svm": (0, 1)})
    evaluate.main()
    assert read_json("metrics/summary.json")["best_model"] == "text-svm"
    assert read_csv("data/label_issues.csv") == [
        {
            "rank": "1",
            "suspect": "yes",
            "sku": "s18",
            "name": "Product s18",
            "label": "audio",
            "suggested_label": "cables, long",
            "label_probability": "0.1",
            "suggested_probability": "0.8",
        }
    ]


def test_confused_pairs_have_examples(repository: TrainedModels):
    repository.write({"text-svm": (0, 1)})
    evaluate.main()
    assert read_csv("plots/evaluation/confused_pairs.csv") == [
        {
            "label": "audio",
            "prediction": "cables, long",
            "products": "1",
            "share": "0.25",
            "example_1": "s18 Product s18",
            "example_2": "",
            "example_3": "",
        }
    ]


def test_the_worst_mistakes_are_shown_with_their_image(repository: TrainedModels):
    repository.write({"text-svm": (0, 2)})
    evaluate.main()
    gallery = Image.open("plots/evaluation/errors.png").convert("RGB")
    pixels = [gallery.getpixel((x, 100)) for x in (60, 268, 476)]
    red = [pixel[0] > 240 > pixel[1] + 200 for pixel in pixels]
    assert red == [True, False, False]


def test_the_plots_of_calibration_and_coverage_have_every_modality(repository: TrainedModels):
    repository.write()
    evaluate.main()
    assert [
        (row["modality"], row["probabilities"], row["confidence"])
        for row in read_csv("plots/evaluation/calibration.csv")[:3]
    ] == [
        ("image", "before calibration", "0.6"),
        ("image", "after calibration", "0.8"),
        ("text", "before calibration", "0.6"),
    ]
    rows = read_csv("plots/evaluation/coverage.csv")
    assert len(rows) == 300
    assert (rows[-1]["coverage"], rows[-1]["risk"]) == ("1.0", "0.1667")


def test_every_plot_of_the_pipeline_finds_its_file_columns_and_template(repository: TrainedModels):
    repository.write()
    evaluate.main()
    plots = YAML(typ="safe").load(TOP / "dvc.yaml")["plots"]
    drawn = set()
    for entry in plots:
        title, looks = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
        files = looks["y"] if isinstance(looks.get("y"), dict) else {title: looks.get("y")}
        for name, y in files.items():
            if name == "plots/pca":  # of another stage
                continue
            drawn.add(name)
            path = Path(name)
            assert path.exists()
            for table in [path] if path.suffix == ".csv" else path.glob("*.csv"):
                assert {looks["x"], y} <= set(read_csv(str(table))[0])
                assert (TOP / f".dvc/plots/{looks['template']}.json").is_file()
    written = {str(path) for path in Path("plots/evaluation").iterdir()}
    assert written - drawn == {"plots/evaluation/confused_pairs.csv"}  # to be read, not drawn


def test_there_is_no_fusion_gain_without_a_modality_of_both_inputs(repository: TrainedModels):
    del repository.params["modalities"]["multimodal"]
    repository.write()
    evaluate.main()
    assert "fusion_gain" not in read_json("metrics/headline.json")


def test_the_headline_and_the_scores_are_what_a_review_reads(repository: TrainedModels):
    repository.write({"text-svm": (0, 3)})
    evaluate.main()
    headline, summary = read_json("metrics/headline.json"), read_json("metrics/summary.json")
    assert headline["best_model"] == summary["best_model"] == "text-svm"
    assert headline["coverage"] == {
        name: found["coverage"] for name, found in summary["coverage"].items()
    }
    assert headline["near_duplicates_in_training"] == 0.25
    models, scores = read_json("metrics/models.json"), headline["scores"]
    assert scores["text"]["svm"] == {
        key: models["text"]["svm"][key] for key in ("accuracy", "macro_f1")
    }
    assert list(scores) == ["image", "text", "multimodal"]
    assert all(list(found) == ["svm", "mlp"] for found in scores.values())


def test_the_headline_says_what_rests_on_random_weights(repository: TrainedModels):
    repository.write()
    evaluate.main()
    assert read_json("metrics/headline.json")["weights"] == {
        "image": "RANDOM: resnet50, convnextv2",
        "text": "bundled: minilm",
        "multimodal": "RANDOM: resnet50, convnextv2; bundled: minilm",
    }


def test_predictions_have_a_row_per_test_product(repository: TrainedModels):
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


def test_the_confusion_table_counts_and_shares(repository: TrainedModels):
    repository.write({"text-svm": (0, 1)})
    evaluate.main()
    cells = {
        (row["actual"], row["predicted"]): (row["products"], row["share"])
        for row in read_csv("plots/evaluation/confusion/text.csv")
    }
    assert cells == {
        ("audio", "audio"): ("3", "0.75"),
        ("audio", "cables, long"): ("1", "0.25"),
        ("cables, long", "cables, long"): ("4", "1.0"),
        ("games", "games"): ("4", "1.0"),
    }


def test_classes_are_listed_from_the_largest_with_each_modality(repository: TrainedModels):
    repository.labels[18] = "games"
    repository.write()
    evaluate.main()
    rows = read_csv("plots/evaluation/per_class.csv")
    assert [row["class"] for row in rows[::3]] == ["games", "cables, long", "audio"]
    assert [row["modality"] for row in rows[:3]] == ["image", "text", "multimodal"]
    assert [row["support"] for row in rows[::3]] == ["5", "4", "3"]


def test_learning_curves_are_those_of_every_modality(repository: TrainedModels):
    repository.write()
    evaluate.main()
    rows = read_csv("plots/evaluation/learning_curves.csv")
    assert [(row["modality"], row["epoch"]) for row in rows] == [
        (modality, epoch) for modality in ("image", "text", "multimodal") for epoch in "12"
    ]
    assert (rows[1]["fold"], rows[1]["validation_loss"]) == ("1", "1.4")
    assert {row["classifier"] for row in rows} == {"mlp"}


def test_a_network_that_learnt_nothing_is_said(repository: TrainedModels, capsys):
    repository.write()
    path = Path("models/trained/mlp/text/history.csv")
    header, *_ = path.read_text().splitlines()
    said = (
        "evaluate: text-mlp learnt nothing: no epoch's loss is below that of a guess; set another "
        "learning_rate, or more max_epochs\n"
    )
    fine = "1,1,36000.0,13.4,0.3,0.3\n1,2,1.3,1.09,0.3,0.5\n"  # a guess among three has 1.0986
    for rows, is_said in ((fine, False), (fine + "2,1,36000.0,13.4,0.3,0.3\n", True)):
        path.write_text(f"{header}\n{rows}")
        evaluate.main()
        assert (said in capsys.readouterr().out) == is_said


def test_without_an_mlp_the_learning_curves_have_no_rows(repository: TrainedModels):
    del repository.params["classifiers"]["mlp"]
    repository.write()
    evaluate.main()
    assert read_csv("plots/evaluation/learning_curves.csv") == []


def test_what_former_params_left_behind_goes(repository: TrainedModels):
    repository.write()
    evaluate.main()
    del repository.params["modalities"]["text"]
    del repository.params["classifiers"]["mlp"]
    repository.write()
    evaluate.main()
    assert sorted(path.name for path in Path("plots/evaluation/confusion").iterdir()) == [
        "image.csv",
        "multimodal.csv",
    ]
    assert len(list(Path("data/predictions").iterdir())) == 4


def test_the_same_models_give_the_same_bytes(repository: TrainedModels):
    repository.write()
    evaluate.main()
    first = files_below("metrics", "plots", "data")
    evaluate.main()
    assert files_below("metrics", "plots", "data") == first


def test_a_missing_model_is_named(repository: TrainedModels):
    repository.write()
    Path("models/trained/svm/text/probabilities.parquet").unlink()
    with pytest.raises(
        InputError, match=r"models/trained/svm/text/probabilities\.parquet is not there"
    ):
        evaluate.main()


@pytest.mark.parametrize("kept", ["text", "image"])
def test_modalities_that_were_not_trained_are_left_out_everywhere(
    repository: TrainedModels, capsys: pytest.CaptureFixture[str], kept: str
):
    repository.write()
    for classifier in ("svm", "mlp"):
        for modality in {"image", "text", "multimodal"} - {kept}:
            shutil.rmtree(Path("models/trained") / classifier / modality)
    evaluate.main()
    assert "no model was trained of" in capsys.readouterr().out
    assert list(read_json("metrics/models.json")) == [kept]
    headline = read_json("metrics/headline.json")
    rest = ["best_model", "coverage", "near_duplicates_in_training", "scores", "weights"]
    assert list(headline) == [kept, *rest] and list(headline["weights"]) == [kept]
    assert list(headline["scores"]) == [kept]
    summary = read_json("metrics/summary.json")
    assert summary["best_model"].startswith(kept)
    assert not {"fusion_gain", *UNIMODAL_BASELINES} & set(summary)
    for name in ("models", "per_class", "calibration", "coverage", "learning_curves"):
        assert {row["modality"] for row in read_csv(f"plots/evaluation/{name}.csv")} == {kept}
    assert [path.name for path in Path("plots/evaluation/confusion").iterdir()] == [f"{kept}.csv"]
    assert len(list(Path("data/predictions").iterdir())) == 4
    text = report(
        *(read_json(f"metrics/{name}.json") for name in ("models", "headline")),
        summary,
        {"source": "table"},
        weak=[],
        n_tried=0,
    )
    assert kept in text and "both inputs" not in text


def test_without_any_model_the_way_to_train_them_is_said(repository: TrainedModels):
    repository.write()
    shutil.rmtree("models/trained")
    with pytest.raises(
        InputError, match=r"models/trained holds no model .*`dvc repro` trains them"
    ):
        evaluate.main()


def test_a_split_without_products_is_named(repository: TrainedModels):
    repository.folds[1]["validation"] = []
    repository.write()
    with pytest.raises(
        InputError, match=r"no validation product in fold 1: raise split\.validation"
    ):
        evaluate.main()


def test_a_history_with_other_columns_is_named(repository: TrainedModels):
    repository.write()
    Path("models/trained/mlp/text/history.csv").write_text("epoch,loss\n1,2\n")
    with pytest.raises(InputError, match=r"models/trained/mlp/text/history\.csv"):
        evaluate.main()


@pytest.mark.parametrize("name", ["weights", "fusion_gain"])
def test_a_modality_cannot_hide_other_metrics(repository: TrainedModels, name: str):
    repository.params["modalities"][name] = {"embeddings": "data/embeddings/text"}
    repository.write()
    with pytest.raises(InputError, match=rf"modalities\.{name} needs another name"):
        evaluate.main()
