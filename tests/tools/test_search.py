"""A search tries parameters, goes on where it was stopped, and names the best on validation."""

import json
import math
import re
from pathlib import Path
from shutil import copyfile

import pytest
from helpers.repository import TOP
from ruamel.yaml import YAML

from stages.common.errors import InputError
from stages.params import parse_params
from tools import experiments, search


class Pipeline:
    """What `dvc` and `git` say: macro F1 is best at C = 10 on validation, worst there on test."""

    def __init__(self) -> None:
        self.tried: list[dict[str, str]] = []
        self.commands: list[tuple[str, ...]] = []
        self.broken: set[int] = set()  # numbers of experiments that fail

    def run(self, *command: str) -> str:
        self.commands.append(command)
        if command[:3] == ("dvc", "exp", "run"):
            options = [each.split("=", 1) for each in command[5:-1:2]]
            self.tried.append(dict(options))
            if len(self.tried) - 1 in self.broken:
                raise InputError("dvc exp run fails: out of memory")
            return f"Ran experiment(s): trial-{len(self.tried) - 1}\nApply it"
        if command[1] == "for-each-ref":
            return "\n".join(f"refs/exps/a/b/trial-{i} c{i}" for i in range(len(self.tried)))
        i = int(re.fullmatch(r"c(\d+):\./metrics/models\.json", command[2])[1])
        score = 1 - abs(math.log10(float(self.tried[i].get("svm.C", 1))) - 1) / 4
        on = {"macro_f1": score, "accuracy": 0.5, "share_with_input": 1.0}
        svm = {"validation": on, "macro_f1": 1 - score}
        mlp = {"validation": on | {"macro_f1": 0.99}, "macro_f1": 0.99}
        return json.dumps({"text": {"svm": svm, "mlp": mlp, "weights": {}}})


@pytest.fixture
def pipeline(tmp_path, monkeypatch) -> Pipeline:
    monkeypatch.chdir(tmp_path)
    copyfile(TOP / "params.yaml", "params.yaml")
    found = Pipeline()
    monkeypatch.setattr(experiments, "run", found.run)
    return found


def start(monkeypatch, *options: str) -> None:
    monkeypatch.setattr("sys.argv", ["search", *options])
    search.main()


SVM = ("--set", "svm.C=0.01:1000", "strategy=early,late", "--model", "text-svm")


def test_it_comes_close_to_the_best_on_validation_and_names_it(pipeline, monkeypatch, capsys):
    start(monkeypatch, "--trials", "25", *SVM)
    assert len(pipeline.tried) == 25
    assert {each["strategy"] for each in pipeline.tried} == {"early", "late"}
    lines = capsys.readouterr().out.splitlines()
    name, c = lines[2].split()[0], float(re.search(r"svm\.C=([\d.e+]+)", lines[2])[1])
    assert 5 < c < 20 and pipeline.tried[int(name.removeprefix("trial-"))]["svm.C"] == f"{c:.4g}"
    assert lines[-1].endswith(f"dvc exp apply {name}, then dvc repro")


def test_each_trial_is_an_experiment_up_to_the_evaluation(pipeline, monkeypatch):
    start(monkeypatch, "--trials", "1", "--set", "a=x")
    options = ("--temp", "--set-param", "a=x", "evaluate")
    assert pipeline.commands[0] == ("dvc", "exp", "run", *options)


@pytest.mark.parametrize(
    "values",
    [
        ["[minilm]", "[minilm,ngrams]"],
        ["{kind: onnx, tta: [identity, hflip]}", "{kind: keras, model: ResNet50}"],
        ["[[a, b], [c]]", "[[d], [e, f]]"],
        ["'a, b'", '"c], d"', "e"],
    ],
)
def test_a_list_a_mapping_or_a_text_in_quotes_is_one_value(pipeline, monkeypatch, values):
    start(monkeypatch, "--trials", "16", "--set", f"encoders={','.join(values)}")
    assert {each["encoders"] for each in pipeline.tried} == set(values)


def test_each_set_is_searched_together_with_the_others(pipeline, monkeypatch):
    start(
        monkeypatch, "--trials", "2", "--set", "svm.C=1:10", "--set", "strategy=early,late", "a=x"
    )
    assert [set(tried) for tried in pipeline.tried] == [{"svm.C", "strategy", "a"}] * 2


def test_without_a_model_the_best_of_all_counts(pipeline, monkeypatch, capsys):
    start(monkeypatch, "--trials", "2", "--set", "svm.C=1:10")
    assert "text-mlp" in capsys.readouterr().out.splitlines()[2]


def test_a_command_that_failed_at_once_can_be_mended(pipeline, monkeypatch):
    pipeline.broken = {0}
    with pytest.raises(InputError, match="1 of 1 trials failed"):
        start(monkeypatch, "--trials", "2", "--set", "svm.c=1:10")
    start(monkeypatch, "--trials", "2", "--set", "svm.C=1:10")
    assert [set(tried) for tried in pipeline.tried] == [{"svm.c"}, {"svm.C"}, {"svm.C"}]


def test_a_second_search_goes_on_with_the_study(pipeline, monkeypatch):
    start(monkeypatch, "--trials", "4", *SVM)
    start(monkeypatch, "--trials", "6", *SVM)
    assert len(pipeline.tried) == 6
    assert len({each["svm.C"] for each in pipeline.tried}) == 6
    start(monkeypatch, "--trials", "6", *SVM)
    assert len(pipeline.tried) == 6


def test_a_trial_that_was_killed_is_done_again(pipeline, monkeypatch):
    def killed(*command: str) -> str:
        pipeline.run(*command)
        raise KeyboardInterrupt

    monkeypatch.setattr(experiments, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        start(monkeypatch, "--trials", "3", *SVM)
    monkeypatch.setattr(experiments, "run", pipeline.run)
    start(monkeypatch, "--trials", "3", *SVM)
    assert len(pipeline.tried) == 4 and pipeline.tried[1] == pipeline.tried[0]


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_study_whose_last_line_was_cut_goes_on_with_the_others(pipeline, monkeypatch, cut):
    start(monkeypatch, "--trials", "3", *SVM)
    study = Path("search.log")
    study.write_bytes(study.read_bytes()[:-cut])  # as by a kill, or on a full disk
    start(monkeypatch, "--trials", "4", *SVM)
    start(monkeypatch, "--trials", "5", *SVM)
    # The end of the third was cut off: it is done again.
    assert len(pipeline.tried) == 6 and pipeline.tried[3] == pipeline.tried[2]


@pytest.mark.parametrize("content", ["a note", "a note\n", "[1]\n", "1\n", "{}\n{}"])
def test_a_file_that_is_no_study_stays_as_it_is(pipeline, monkeypatch, content):
    Path("notes.txt").write_text(content)
    with pytest.raises(InputError, match=r"notes\.txt is no study, or damaged: .*--study"):
        start(monkeypatch, "--study", "notes.txt", *SVM)
    assert Path("notes.txt").read_text() == content and pipeline.tried == []


def test_a_second_search_at_the_same_time_leaves_the_study_to_the_first(pipeline, monkeypatch):
    def searched_again(*command: str) -> str:
        if command[0] == "dvc":
            with pytest.raises(
                InputError, match=r"another search is at work on search\.log: .*--study"
            ):
                start(monkeypatch, "--trials", "3", *SVM)
        return pipeline.run(*command)

    monkeypatch.setattr(experiments, "run", searched_again)
    start(monkeypatch, "--trials", "2", *SVM)
    assert len(pipeline.tried) == 2


def test_a_failed_trial_is_told_and_the_others_go_on(pipeline, monkeypatch, capsys):
    pipeline.broken = {2}
    with pytest.raises(InputError, match="1 of 5 trials failed"):
        start(monkeypatch, "--trials", "5", *SVM)
    said = capsys.readouterr().out
    assert len(pipeline.tried) == 5 and "trial 2 (svm.C=" in said and "out of memory" in said


def test_where_the_first_trial_fails_no_other_is_tried(pipeline, monkeypatch):
    pipeline.broken = {0}
    with pytest.raises(InputError, match="1 of 1 trials failed"):
        start(monkeypatch, "--trials", "5", "--set", "a=x")
    assert len(pipeline.tried) == 1


def test_a_model_that_the_pipeline_does_not_make_is_refused_before_a_trial(pipeline, monkeypatch):
    with pytest.raises(InputError, match=r"--model text-forest: .* text-mlp.* text-ensemble"):
        start(monkeypatch, "--set", "a=x", "--model", "text-forest")
    assert pipeline.tried == []


def test_a_study_of_something_else_is_not_mixed_up(pipeline, monkeypatch):
    start(monkeypatch, "--trials", "1", *SVM)
    for other in (("--set", "svm.C=1:5", "--model", "text-svm"), SVM[:3]):
        with pytest.raises(InputError, match=r"search\.log searches text-svm by .*--study"):
            start(monkeypatch, "--trials", "2", *other)
    start(monkeypatch, "--trials", "1", "--study", "other.log", "--set", "a=x")


@pytest.mark.parametrize("file", ["params.yaml", "data/catalogue/products.csv.dvc"])
def test_trials_on_other_products_are_not_mixed_up(pipeline, monkeypatch, file):
    tracked = Path("data/catalogue/products.csv.dvc")
    tracked.parent.mkdir(parents=True)
    tracked.write_text("outs:\n- md5: a\n  path: products.csv\n")
    start(monkeypatch, "--trials", "1", *SVM)
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("jobs: auto", "jobs: 1"))
    start(monkeypatch, "--trials", "2", *SVM)
    changed = Path(file).read_text().replace("md5: a", "md5: b").replace("seed: 42", "seed: 43")
    Path(file).write_text(changed)
    with pytest.raises(InputError, match=r"search\.log searches other products: .*--study"):
        start(monkeypatch, "--trials", "3", *SVM)
    assert len(pipeline.tried) == 2


@pytest.mark.parametrize(
    "text",
    ["svm.C", "svm.C=", "=1:2", "C=0:10", "C=10:1", "C=1:e", "C=1:1e999", "C=1,", "C=,1", "C=1,,2"],
)
def test_what_is_no_range_and_no_values_is_refused(pipeline, monkeypatch, text):
    with pytest.raises(InputError, match=f"--set {re.escape(text)}: "):
        start(monkeypatch, "--set", text)
    assert pipeline.tried == []


def test_a_parameter_that_is_set_twice_is_refused(pipeline, monkeypatch):
    with pytest.raises(InputError, match="--set a=y: a is set twice"):
        start(monkeypatch, "--trials", "1", "--set", "a=x", "--set", "a=y")
    assert pipeline.tried == []


def test_a_parameter_that_takes_integers_gets_integers(pipeline, monkeypatch):
    key = "classifiers.svm.n_components"
    start(monkeypatch, "--trials", "8", "--set", f"{key}=500:20000", "classifiers.svm.C=1:1000")
    params = YAML(typ="safe", pure=True).load(TOP / "params.yaml")
    for tried in pipeline.tried:
        assert 500 <= int(tried[key]) <= 20_000
        params["classifiers"]["svm"] |= {"n_components": int(tried[key])}
        parse_params(params)
    assert len({tried[key] for tried in pipeline.tried}) > 1
    assert any("." in tried["classifiers.svm.C"] for tried in pipeline.tried)


@pytest.mark.parametrize(
    ("key", "is_integer"),
    [("jobs", True), ("++classifiers.svm.C", False), ("params.yaml:classifiers.svm.C", False)],
)
def test_whole_ends_give_integers_unless_the_parameter_is_a_float(
    pipeline, monkeypatch, key, is_integer
):
    start(monkeypatch, "--trials", "3", "--set", f"{key}=1:1000")  # jobs is auto in params.yaml
    assert len(pipeline.tried) == 3
    assert all(tried[key].isdecimal() for tried in pipeline.tried) == is_integer


@pytest.mark.parametrize(
    "text",
    ["params.yaml:seed=1,2", "++seed=1:9", "split.test=0.1:0.3", "~split", "+data.a=b", "data={}"],
)
def test_a_search_among_other_products_is_refused(pipeline, monkeypatch, text):
    with pytest.raises(InputError, match=rf"--set {re.escape(text)}: .*other products.*sweep"):
        start(monkeypatch, "--set", "a=x,y", text)
    assert pipeline.tried == [] and not Path("search.log").exists()


def test_a_parameter_that_is_only_named_like_the_seed_is_searched(pipeline, monkeypatch):
    start(monkeypatch, "--trials", "1", "--set", "seeds=1", "text.split=a")
    assert pipeline.tried == [{"seeds": "1", "text.split": "a"}]


def test_a_model_of_the_few_products_with_an_image_is_not_the_best(pipeline, monkeypatch):
    images = {"validation": {"macro_f1": 0.99, "accuracy": 0.99, "share_with_input": 0.05}}
    texts = {"validation": {"macro_f1": 0.9, "accuracy": 0.9, "share_with_input": 1.0}}
    models = {"image": {"svm": images, "weights": {}}, "text": {"svm": texts, "weights": {}}}
    monkeypatch.setattr(experiments, "run", lambda *_: json.dumps(models))
    assert experiments.result_of("one", "c0", "").model == "text-svm"


@pytest.mark.parametrize("trials", ["0", "-3"])
def test_a_search_without_trials_is_refused_and_makes_no_study(
    pipeline, monkeypatch, capsys, trials
):
    with pytest.raises(SystemExit, match="2"):
        start(monkeypatch, *SVM, "--trials", trials)
    assert f"--trials {trials}: give 1 or more" in capsys.readouterr().err
    assert sorted(path.name for path in Path().iterdir()) == ["params.yaml"]
