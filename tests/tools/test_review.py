"""A review says whether a change is for the better, and which products it changes."""

import base64
import dataclasses
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from dvc.repo import Repo
from helpers.held_out_products import held_out

from stages.common.errors import InputError
from stages.evaluation.metrics import LabeledPredictions
from stages.evaluation.predictions import Model, PredictionSet
from tools.review import __main__ as command
from tools.review import page
from tools.review import state as state_of
from tools.review.comparison import ChangedPrediction, changed_predictions, compare_modalities
from tools.review.page import _changed_table as changed_table
from tools.review.page import _sentence as sentence
from tools.review.page import to_html, verdict
from tools.review.state import State

N = 60
RIGHT = [i % 3 for i in range(N)]


def state(wrong: int, modality: str = "text", first: int = 0) -> State:
    """Return a state whose only model is wrong about so many products, s00 the first of them."""
    chosen = [(label + 1) % 3 if i < wrong else label for i, label in enumerate(RIGHT)]
    test = held_out(RIGHT, chosen)
    model = Model(modality, "svm", test, shifted(test, first), {}, 0, {})
    headline = {modality: {"model": "svm", "accuracy": 0.0, "macro_f1": 0.0}}
    best = {"best_model": f"{modality}-svm"}
    return State("0" * 40, headline | best, {}, {modality: model})


def shifted(test: PredictionSet, first: int) -> PredictionSet:
    return dataclasses.replace(test, skus=test.skus if not first else test.skus + f"-{first}")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (30, 3, "Better: text."),
        (3, 30, "Worse: text."),
        (10, 10, "No difference shown."),
        (10, 9, "No difference shown."),
    ],
)
def test_the_verdict_is_that_of_the_paired_interval(before, after, said):
    compared = compare_modalities(state(before), state(after))
    assert verdict(compared) == said
    found = compared[0].found
    assert found.accuracy.value == pytest.approx((before - after) / N)
    assert found.products == N


def test_a_grouping_of_another_kind_leaves_the_products_paired():
    old = state(10)
    test = old.models["text"].test
    groups = [f"other {i}" for i in range(N)]
    regrouped = dataclasses.replace(test, groups=np.array(groups))
    old.models["text"] = dataclasses.replace(old.models["text"], test=regrouped)
    (one,) = compare_modalities(old, state(10))
    assert (one.found.accuracy.low, one.found.accuracy.high) == (0, 0)


def relabeled(old: State, labels: dict[str, str]) -> State:
    """Return a state of the same predictions with other labels."""
    model = old.models["text"]
    found = model.test.calibrated
    before = [found.classes[column] for column in found.y_true]
    now = [labels.get(sku, was) for sku, was in zip(model.test.skus, before, strict=True)]
    test = dataclasses.replace(
        model.test,
        calibrated=LabeledPredictions.from_labels(found.classes, now, found.probabilities),
    )
    return dataclasses.replace(old, models={"text": dataclasses.replace(model, test=test)})


def test_corrected_labels_make_no_model_better():
    base = state(30)
    predicted = base.models["text"].test.calibrated
    corrected = {f"s{i:02}": predicted.classes[predicted.y_pred[i]] for i in range(30)}
    ours = relabeled(base, corrected)
    (one,) = compared = compare_modalities(base, ours)
    assert one.found.accuracy.value == 0 and one.found.macro_f1.value == 0
    assert verdict(compared) == "No difference shown."
    assert "60 test products in both, 30 of them with another label now:" in sentence(one)


def with_other_classes(old: State, names: list[str]) -> State:
    """Return a state of the same predictions whose classes have other names, or one name."""
    model = old.models["text"]
    found = model.test.calibrated
    labels = [names[column] for column in found.y_true]
    classes = sorted(set(names))
    probabilities = np.zeros((N, len(classes)))
    for column, name in enumerate(names):
        probabilities[:, classes.index(name)] += found.probabilities[:, column]
    test = dataclasses.replace(
        model.test, calibrated=LabeledPredictions.from_labels(classes, labels, probabilities)
    )
    return dataclasses.replace(old, models={"text": dataclasses.replace(model, test=test)})


def test_another_name_of_a_class_makes_no_model_worse():
    base = state(0)
    renamed = with_other_classes(base, ["lamps", "c1", "c2"])
    for before, after in ((base, renamed), (renamed, base)):
        (one,) = compare_modalities(before, after)
        assert one.found.accuracy.value == 0 and one.relabeled == N / 3
        assert changed_predictions(before, after, {}) == []


def test_a_product_of_a_renamed_class_that_is_wrong_now_is_listed_as_such():
    found = changed_predictions(state(0), with_other_classes(state(1), ["lamps", "c1", "c2"]), {})
    assert [(one.sku, one.outcome, one.before, one.after) for one in found] == [
        ("s00", "now wrong", "c0", "c1")
    ]


def test_classes_that_were_merged_make_no_model_better():
    base = state(0)
    compared = compare_modalities(base, with_other_classes(base, ["c0", "c1", "c1"]))
    assert verdict(compared) == "No difference shown."
    assert compared[0].found.accuracy.value == 0 and compared[0].relabeled == N / 3
    assert changed_predictions(base, with_other_classes(base, ["c0", "c1", "c1"]), {}) == []


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="no test product in common"):
        compare_modalities(state(3), state(3, first=1))
    with pytest.raises(InputError, match="no modality has a model before and after"):
        compare_modalities(state(3), state(3, modality="image"))


def test_a_modality_that_has_no_model_any_more_is_said_in_the_verdict(monkeypatch):
    monkeypatch.setattr(page, "params_diff", lambda commit: "")
    monkeypatch.setattr(page, "metrics_diff", lambda commit: "")
    both = state(10)
    both.models["multimodal"] = state(3, modality="multimodal").models["multimodal"]
    for before, after, said in (
        (both, state(10), "**No difference shown. No model of multimodal any more.**\n"),
        (state(10), both, "**No difference shown.**\n"),
    ):
        text = page.to_markdown(before, after, compare_modalities(before, after), [])
        assert text.startswith(said)


def test_products_whose_prediction_changed_are_listed_the_worst_first():
    names = {"s00": "A | B <b>*x*</b>"}
    worse = changed_predictions(state(0), state(2), names)
    assert [(one.sku, one.outcome, one.label, one.after) for one in worse] == [
        ("s00", "now wrong", "c0", "c1"),
        ("s01", "now wrong", "c1", "c2"),
    ]
    assert [one.outcome for one in changed_predictions(state(2), state(0), {})] == ["now right"] * 2
    assert changed_predictions(state(2), state(2), {}) == []

    table = changed_table(state(2), worse)
    assert table.startswith("2 of text-svm, the worst first:")
    assert "A \\| B &lt;b&gt;\\*x\\*&lt;/b&gt;" in table
    page = to_html(table, {"s00": b"jpeg"})
    assert "A | B &lt;b&gt;*x*&lt;/b&gt;" in page and page.count("<td>") == 14
    assert 'src="data:image/jpeg;base64,anBlZw=="' in page
    assert "http" not in page


def test_a_name_mentions_nobody_where_the_report_is_a_comment():
    [one] = changed_predictions(state(0), state(1), {"s00": "TV @sony #12 a@b # 3"})
    table = changed_table(state(1), [dataclasses.replace(one, sku="#7")])
    assert "TV @<!-- -->sony #<!-- -->12 a@<!-- -->b # 3" in table
    page = to_html(table, {"#7": b"jpeg"})
    assert "<td>TV @sony #12 a@b # 3</td>" in page and page.count("<img") == 1


def test_the_image_of_a_product_stands_in_its_row_whatever_else_is_written_like_its_sku():
    changed = [
        ChangedPrediction(sku, name, "2", "2", "1", 0.5, True)
        for sku, name in [("7", "500"), ("2", "x"), ("500", "y"), ('it\'s_"1"', "z")]
    ]
    parameters = "| path | value |\n|---|---|\n| seed | 500 |"
    text = f"{parameters}\n\n## Changed predictions\n\n{changed_table(state(2), changed)}\n"
    page = to_html(text, {one.sku: one.sku.encode() for one in changed})
    assert page.count("<img") == len(changed)
    for one in changed:
        row = next(
            row for row in page.split("<tr>") if base64.b64encode(one.sku.encode()).decode() in row
        )
        assert f"<td>{one.name}</td>" in row and row.count("<img") == 1


def test_names_of_thousands_of_characters_leave_the_report_short_enough_for_a_comment():
    changed = [
        ChangedPrediction(f"{i}", 700 * "word " + "end", "2", "2", "1", 0.5, True)
        for i in range(50)
    ]
    table = changed_table(state(2), changed)
    assert len(table) < 65_536 / 3 and table.count("…") == table.count("word end") == len(changed)


def test_a_project_in_a_folder_of_a_larger_repository_has_a_past_too(tmp_path, monkeypatch):
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=me", "-c", "user.email=me@example.com")
        return subprocess.check_output(["git", *who, *arguments], text=True)

    project = tmp_path / "shop" / "classifier"
    (project / "models").mkdir(parents=True)
    monkeypatch.chdir(project)
    git("init", "--quiet", str(tmp_path))
    with Repo.init(".", subdir=True) as repository:
        (project / "models/a.parquet").write_text("predictions")
        repository.add("models/a.parquet")
    (project / "metrics.json").write_text('{"accuracy": 0.5}')
    git("add", ".")
    git("commit", "--quiet", "--message", "all")
    commit = git("rev-parse", "HEAD").strip()
    assert state_of._json_of(commit, Path("metrics.json")) == {"accuracy": 0.5}
    with pytest.raises(InputError, match="name a commit that has built results"):
        state_of._json_of(commit, Path("headline.json"))
    state_of._fetch(commit, Path("models/a.parquet"), tmp_path / "fetched")
    assert (tmp_path / "fetched/models/a.parquet").read_text() == "predictions"


def test_parameters_and_metrics_that_are_the_same_are_no_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    git = ("git", "-c", "user.name=me", "-c", "user.email=me@example.com")
    subprocess.run([*git, "init", "--quiet"], check=True)
    Repo.init(".").close()
    Path("dvc.yaml").write_text("params: [params.yaml]\nmetrics: [metrics.json]\n")
    Path("params.yaml").write_text("seed: 1\n")
    Path("metrics.json").write_text('{"accuracy": 0.5}')
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "all"], check=True)
    assert state_of.params_diff("HEAD") == state_of.metrics_diff("HEAD") == ""
    Path("params.yaml").write_text("seed: 2\n")
    Path("metrics.json").write_text('{"accuracy": 0.25}')
    assert "seed" in state_of.params_diff("HEAD") and "-0.25" in state_of.metrics_diff("HEAD")


def test_the_files_are_those_that_the_last_line_names(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "check_is_built", lambda: None)
    monkeypatch.setattr(command, "own_state", lambda: state(3))
    monkeypatch.setattr(command, "committed_state", lambda base: nullcontext(state(3)))
    monkeypatch.setattr(command, "review", lambda base, ours: ("**Better.**\n\nMore.\n", []))
    monkeypatch.setattr(command, "read_thumbnails", lambda shards, skus: {})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["review", "--output", "of-1.2"])
    command.main()
    assert "of-1.2.md and of-1.2.html have" in capsys.readouterr().out
    assert {file.name for file in tmp_path.iterdir()} == {"of-1.2.md", "of-1.2.html"}
