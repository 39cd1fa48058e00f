"""The README is one page, and what it and docs/ name is there."""

import ast
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from helpers.documents import DOCUMENTS, README, blocks, code_spans, commands, settings_of, text_of
from helpers.repository import TOP
from ruamel.yaml import YAML

from stages.params import load_params, parse_params

PARAMS = YAML(typ="safe").load(TOP / "params.yaml")
TESTED = "tests/docs/test_commands.py::"
# Each command of the README: the test that runs it, or why none can.
COMMANDS = {
    "make run": "installs packages from the network",
    "make test": "runs this test",
    "PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make run": "installs packages",
    "source .venv/bin/activate": "changes the shell that calls it, and tests run without .venv",
    "dvc repro": TESTED + "test_your_own_table_ends_in_predictions",
    "dvc exp run -S 'text.encoders=[bert,ngrams]'": "downloads BERT from the hub",
    "dvc exp run -S '+encoders.dino={kind: huggingface_image, model: facebook/dinov2-small}'"
    " -S 'image.encoders=[dino]'": "downloads DINOv2 from the hub",
    "dvc exp run -S '+encoders.mine={kind: onnx, path: /models/mine.onnx, tta: [identity, hflip]}'"
    " -S 'image.encoders=[mine]'": "needs an ONNX file of the user's",
    "dvc exp run -S '+classifiers.finetuned={encoder: minilm}'": "tunes MiniLM for minutes; "
    "tests/stages/test_train_finetuned.py tunes a small network",
    "dvc exp run -S fusion.strategy=early": TESTED + "test_an_experiment_is_compared_with_main",
    "python -m serving.predict new.csv --output predictions.csv": TESTED
    + "test_your_own_table_ends_in_predictions",
    "make review BASE=main": "installs first: tests/pipeline/test_changes.py runs what it runs",
    "make serve": "serves until it is stopped: tests/serving/server/ starts it and stops it",
    "dvc add data/catalogue/products.csv": TESTED + "test_your_own_table_ends_in_predictions",
    "make sweep": "installs first, and takes minutes: the next one runs what it runs",
    "python -m tools.sweep --set classifiers.svm.C=1,10": TESTED
    + "test_a_sweep_is_shown_in_a_table",
    "dvc exp apply": TESTED + "test_a_sweep_is_shown_in_a_table",
    r"dvc exp show --drop '.*' --keep 'Experiment|\w+\.(accuracy|macro_f1)$|.*svm\.C'": TESTED
    + "test_a_sweep_is_shown_in_a_table",
    "dvc metrics diff main": TESTED + "test_an_experiment_is_compared_with_main",
    "dvc plots diff main": TESTED + "test_an_experiment_is_compared_with_main",
    "dvc plots show": TESTED + "test_an_experiment_is_compared_with_main",
}
BUILT_ANYWHERE = ("/", ".venv", ".cache", ".dvc/tmp", ".dvc/config.local", "~")


def each(parse):
    """Return (document, what `parse` finds in it) for every document."""
    return [
        pytest.param(document, found, id=f"{document.name}: {found}")
        for document in DOCUMENTS
        for found in dict.fromkeys(parse(document))
    ]


def code(document: Path) -> list[str]:
    """Return the commands in fenced blocks and all code in the text."""
    return commands(document) + code_spans(document)


def test_the_readme_is_one_page():
    assert len(README.read_bytes()) <= 8192


def test_every_command_of_the_readme_is_run_by_a_test_or_has_a_reason():
    spans = [
        span for span in code_spans(README) if re.match(r"(\w+=\S+ )?(make|dvc|python) ", span)
    ]
    # The text may name a command by its start: `dvc metrics diff`.
    found = {
        span
        for span in spans
        if span in COMMANDS or not any(command.startswith(f"{span} ") for command in COMMANDS)
    }
    assert found | set(commands(README)) == set(COMMANDS)


@pytest.mark.parametrize("entry", [entry for entry in COMMANDS.values() if "::" in entry])
def test_every_test_that_runs_a_command_is_there(entry):
    file, name = entry.split("::")
    tree = ast.parse((TOP / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(
    ("document", "target"),
    each(lambda document: re.findall(r"\bmake ([a-z]+)", str(code(document)))),
)
def test_every_make_target_is_there(document, target):
    assert re.search(rf"^{target}:", (TOP / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("document", "command"),
    each(lambda document: [line for line in code(document) if "-S " in line]),
)
def test_every_setting_is_accepted(document, command, tmp_path):
    settings = settings_of(command)
    assert settings
    for sweep in get_hydra_sweeps({"params.yaml": settings}):
        params = tmp_path / "params.yaml"
        params.write_text((TOP / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
        apply_overrides(params, sweep["params.yaml"])
        load_params(params)


KEY = re.compile(r"([a-z]\w*(?:\.\w+)*)(?:: (.+))?")


def keys(document: Path) -> list[str]:
    """Return the code that names a key of params.yaml: `seed`, `split.folds`, `split.folds: 5`."""
    named = []
    for span in code_spans(document):
        match = KEY.fullmatch(span)
        if match and match[1].split(".")[0] in PARAMS and ("." in match[1] or match[2]):
            named.append(span)
    return named


@pytest.mark.parametrize(("document", "span"), each(keys))
def test_every_key_of_params_yaml_is_there(document, span, tmp_path):
    key, value = KEY.fullmatch(span).groups()
    node = PARAMS
    for part in key.split("."):
        assert part in node
        node = node[part]
    if value:
        params = tmp_path / "params.yaml"
        params.write_text((TOP / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
        apply_overrides(params, [f"{key}={value}"])
        load_params(params)


@pytest.mark.parametrize(("document", "block"), each(lambda document: blocks(document, "yaml")))
def test_every_example_of_params_yaml_is_accepted(document, block):
    parse_params(merged(PARAMS, YAML(typ="safe").load(block)))


def merged(base: dict, changes: dict) -> dict:
    """Return `base` with `changes`, section by section."""
    result = dict(base)
    for key, value in changes.items():
        inner = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = merged(base[key], value) if inner else value
    return result


def outputs() -> list[str]:
    """Return the outputs of all stages, with `*` for what params.yaml fills in."""
    stages = YAML(typ="safe").load(TOP / "dvc.yaml")["stages"].values()
    entries = [
        entry
        for stage in stages
        for section in ("outs", "metrics", "plots")
        for entry in stage.get(section, [])
    ]
    names = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]
    return [re.sub(r"\$\{[^}]+\}", "*", name) for name in names]


def paths(document: Path) -> list[str]:
    """Return the code that names a file or a folder of the repository."""
    top = {path.name for path in TOP.iterdir()} | {"data", "models", "metrics", "plots"}
    found = []
    for span in code_spans(document):
        is_path = re.fullmatch(r"[\w./<>{}* -]+", span) and span.split("/")[0] in top
        if is_path and not span.startswith(BUILT_ANYWHERE) and (" " not in span or "<" in span):
            found.append(span)
    return found


@pytest.mark.parametrize(("document", "path"), each(paths))
def test_every_path_is_there_or_built_by_a_stage(document, path):
    wanted = re.sub(r"<[^>]+>", "*", path).rstrip("/")
    built = [name for name in outputs() if overlap(wanted.split("/"), name.split("/"))]
    assert built or list(TOP.glob(wanted)), f"{document.name} names {path}"


def overlap(one: list[str], other: list[str]) -> bool:
    """Say whether one of two paths leads to or into the other; `*` stands for any name."""
    return all(a == b or "*" in (a, b) for a, b in zip(one, other, strict=False))


def test_every_name_in_the_layout_is_there():
    (layout,) = blocks(README, "")
    names = re.findall(r"[\w.]+/|\w+\.(?:yaml|lock)|data/catalogue/", layout)
    tops = {name.split("/")[0] for name in outputs()}
    missing = [
        name
        for name in names
        if not (TOP / name).exists()
        and not (TOP / "stages" / name).exists()
        and not (TOP / "data" / name).exists()
        and name.rstrip("/") not in tops
    ]
    assert names and not missing


def test_the_table_of_stages_is_that_of_dvc_yaml():
    table = text_of(README).split("| stage | reads | writes |")[1].split("\n\n")[0]
    patterns = [
        name
        for row in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", row)
    ]
    stages = YAML(typ="safe").load(TOP / "dvc.yaml")["stages"]
    assert patterns
    assert all(any(fnmatch(stage, pattern) for pattern in patterns) for stage in stages)
    assert all(any(fnmatch(stage, pattern) for stage in stages) for pattern in patterns)


@pytest.mark.parametrize(
    ("document", "module"),
    each(lambda document: re.findall(r"python -m ([\w.]+)", str(code(document)))),
)
def test_every_module_that_is_run_is_there(document, module):
    path = TOP / module.replace(".", "/")
    files = (path.with_name(f"{path.name}.py"), path / "__main__.py")
    assert module == "pytest" or any(file.is_file() for file in files)


@pytest.mark.parametrize(
    ("document", "link"),
    each(lambda document: re.findall(r"\]\((?!https?:)([^)]+)\)", text_of(document))),
)
def test_every_link_leads_somewhere(document, link):
    name, _, anchor = link.partition("#")
    target = document.parent / name if name else document
    assert target.is_file()
    if anchor:
        titles = re.findall(r"^#+ (.+)$", text_of(target), re.MULTILINE)
        anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
        assert anchor in anchors


def test_the_readme_links_to_every_page_of_docs():
    assert all(f"(docs/{page.name})" in text_of(README) for page in (TOP / "docs").glob("*.md"))


def test_every_direct_dependency_has_its_reason():
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    entries = [*project["dependencies"], *(entry for extra in extras for entry in extra)]
    table = text_of(TOP / "docs/dependencies.md").split("\n## Considered")[0]
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", table, re.MULTILINE)[2:]
    reasons = {name.strip() for row in rows for name in row.split(",")}
    assert {re.match(r"[\w.-]+", entry)[0] for entry in entries} == reasons
