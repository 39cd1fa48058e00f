"""Weights are known by their bytes, and what they are is written beside them."""

import json
from dataclasses import replace

import pytest

from stages.common.errors import InputError
from stages.common.files import sha256_of
from stages.encoders.weights.manifest import (
    Manifest,
    check_sha256,
    digest,
    is_intact,
    package_folder,
    read_manifest,
    write_manifest,
)
from stages.encoders.weights.obtain import warn_random

PARTS = "model*.safetensors"


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    manifest = Manifest("pretrained", "huggingface.co/a/b", "1f" * 20, "0" * 64)
    write_manifest(tmp_path, manifest, {"model": "a/b"})
    assert read_manifest(tmp_path) == replace(manifest, request={"model": "a/b"})
    assert json.loads((tmp_path / "manifest.json").read_text())["revision"] == "1f" * 20


def test_a_folder_that_was_never_fetched_is_said_to_be(tmp_path):
    with pytest.raises(InputError, match="holds no weights: `dvc repro` fetches them"):
        read_manifest(tmp_path / "minilm")


def test_a_changed_missing_or_added_file_is_noticed(tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes(name.encode())
    write_manifest(tmp_path, Manifest("pretrained", "here", None, "0" * 64), {})
    manifest = read_manifest(tmp_path)
    assert is_intact(tmp_path, manifest)
    (tmp_path / ".DS_Store").touch()  # as where a desktop has opened the folder
    assert is_intact(tmp_path, manifest)
    (tmp_path / "more.json").touch()
    assert not is_intact(tmp_path, manifest)
    (tmp_path / "more.json").unlink()
    (tmp_path / "config.json").write_bytes(b"Config.json")
    assert not is_intact(tmp_path, manifest)
    (tmp_path / "config.json").unlink()
    assert not is_intact(tmp_path, manifest)


def test_one_file_s_digest_is_its_own(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert digest(tmp_path, PARTS) == sha256_of(tmp_path / "model.safetensors")


def test_the_digest_of_parts_depends_on_each_and_on_their_names(tmp_path):
    first, second = (tmp_path / f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    before = digest(tmp_path, PARTS)
    assert digest(tmp_path, PARTS) == before
    first.write_bytes(b"two")
    second.write_bytes(b"one")
    assert digest(tmp_path, PARTS) != before


def test_no_weights_have_no_digest(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(InputError, match=r"holds no model\*\.safetensors"):
        digest(tmp_path, PARTS)


def test_a_hash_is_checked_if_one_is_given():
    check_sha256("a" * 64, "a" * 64, "here")
    check_sha256("a" * 64, None, "here")
    with pytest.raises(InputError, match=f"from here have sha256 {'a' * 64}, not {'b' * 64}"):
        check_sha256("a" * 64, "b" * 64, "here")


def test_a_package_s_folder_is_found_if_it_ships_the_file():
    assert (package_folder("pytest", "py.typed") / "py.typed").is_file()
    assert package_folder("pytest", "model.safetensors") is None
    assert package_folder("no-such-package-at-all", "model.safetensors") is None


def test_the_warning_cannot_be_missed_and_gives_the_reason(capsys):
    warn_random("ResNet50", "URL fetch failure on https://a.host/keras-applications/x.h5: no route")
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert set(lines[0]) == set(lines[-1]) == {"!"}
    assert lines[1].startswith("RANDOM WEIGHTS for ResNet50")
    assert "https://a.host/keras-applications/x.h5:" in printed.err.split()
    assert "say nothing of the encoder's quality" in " ".join(printed.err.split())
