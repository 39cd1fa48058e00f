"""The README's own commands, run in a copy of the repository on the README's own example."""

import csv
import re
import shlex
import shutil

import pytest
from helpers.copies import Copy
from helpers.documents import README, blocks, readme_command
from ruamel.yaml import YAML

COLUMNS = ["sku", "title", "long_text", "brand", "category", "photo"]
WORDS = {"Audio": "speaker", "Phones": "handset", "Toys": "puzzle"}


def own_catalogue(params):
    """Name the columns as the README does, and keep the pipeline to one model of texts."""
    (example,) = blocks(README, "yaml")
    data = YAML(typ="safe").load(example)["data"]
    params["data"]["source"] = data["source"]
    params["data"]["table"].update(data["table"])
    params["data"]["min_class_size"] = 5
    params["split"]["strategy"] = "stratified"  # to `grouped` all are near-duplicates
    params["image"]["encoders"] = []
    params["text"]["encoders"] = ["ngrams"]
    for section, kept in (("modalities", "text"), ("classifiers", "svm")):
        for name in set(params[section]) - {kept}:
            del params[section][name]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    copy = Copy(tmp_path_factory.mktemp("copy"), own_catalogue)
    with (copy.top / "data/catalogue/products.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for label, word in WORDS.items():
            for i in range(15):
                text = f"A {word} of series {i}"
                rows.writerow([f"{label}-{i}", f"{label} {word} {i}", text, "Brand", label, ""])
        rows.writerow(["no-text", "", "", "Brand", "Audio", ""])
    copy.run(*readme_command("dvc add"))
    copy.run(*readme_command("dvc repro"))
    copy.commit()
    copy.run("git", "branch", "--move", "--force", "main")
    return copy


@pytest.fixture
def copy(built):
    """The built copy; what a test does to it is undone."""
    yield built
    built.back()


def test_your_own_table_ends_in_predictions(copy):
    predictions = (copy.top / "data/predictions/text-svm.csv").read_text(encoding="utf-8")
    assert predictions.splitlines()[0] == "Predictions,True Labels"
    assert set(re.findall(r"\w+", predictions)) >= set(WORDS)
    assert "no-text" in (copy.top / "data/rejected.csv").read_text(encoding="utf-8")
    shutil.copyfile(copy.top / "data/catalogue/products.csv", copy.top / "new.csv")
    (copy.top / "predictions.csv").unlink(missing_ok=True)  # of someone who tried the README here
    said = copy.run(
        "sh", "-c", f"{shlex.join(readme_command('python -m serving.predict'))} || [ $? = 3 ]"
    )
    assert " filed, " in said
    with (copy.top / "predictions.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    with (copy.top / "new.csv").open(encoding="utf-8", newline="") as file:
        assert len(found) == len(list(csv.DictReader(file)))
    assert {row["label"] for row in found} >= set(WORDS)


def test_an_experiment_is_compared_with_main(copy):
    copy.run(*readme_command("dvc exp run -S fusion.strategy"), "-S", "classifiers.svm.C=0.01")
    assert re.search(r"metrics/\w+\.json +text\.", copy.run(*readme_command("dvc metrics diff")))
    for command in ("dvc plots diff", "dvc plots show"):
        page = copy.top / "dvc_plots/index.html"
        page.unlink(missing_ok=True)
        copy.run(*readme_command(command))
        assert page.is_file()


def test_a_search_goes_on_where_it_stopped(copy):
    search = ("python", "-m", "tools.search", "--set", "classifiers.svm.C=0.1:100")
    copy.run(*search, "--trials", "1")
    said = copy.run(*search, "--trials", "2")
    assert len(re.findall(r"classifiers\.svm\.C=[\d.]+ +text-svm +[01]\.\d{4}", said)) == 2
    copy.run(*shlex.split(re.search(r"take over the first: (dvc exp apply [\w-]+), then", said)[1]))
    assert copy.repro("package") == ["package"]


def test_a_sweep_is_shown_in_a_table(copy):
    said = copy.run(*readme_command("python -m tools.sweep"))
    (best,) = re.findall(
        r"take over the first: dvc exp apply ([\w-]+), then dvc repro$", said, re.MULTILINE
    )
    rows = [line.split() for line in said.splitlines() if "classifiers.svm.C=" in line]
    assert len(rows) == 2 and rows[0][0] == best
    assert rows[0][-2:] >= rows[1][-2:]
    shown = copy.run(*readme_command("dvc exp show"), COLUMNS="200")
    assert all(name in shown for name in ("text.accuracy", "text.macro_f1", "classifiers.svm.C"))
    header = next(line for line in shown.splitlines() if "Experiment" in line)
    assert len(re.split(r"  +", header.strip())) <= 20
    (name,) = re.findall(r"\[([\w-]+)\] +[\d.]+ +[\d.]+ +10 ", shown)
    copy.run("dvc", "exp", "apply", name)
    assert "C: 10\n" in (copy.top / "params.yaml").read_text(encoding="utf-8")
