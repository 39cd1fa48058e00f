"""Tuning that was stopped goes on from its checkpoint, to the same bytes."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.image_networks import striped, write_image_network
from helpers.text_networks import write_text_network

from stages.classifiers import finetuned, finetuned_image
from stages.classifiers.base import checkpoints, training_loop, tuning_cache
from stages.common.blocks import InputBlock
from stages.common.image_network import ImageNetwork
from stages.common.text_network import TextNetwork

WORDS = ["round", "square", "with", "strap", "wheel"]
CLASSES = np.array(["balls", "boxes"])
N = 48
QUICK: dict[str, Any] = {"batch_size": 8, "max_epochs": 4, "learning_rate": 0.003}


class Stopped(Exception):
    """What stands for a kill."""


@pytest.fixture(scope="module")
def blocks(tmp_path_factory) -> dict[str, tuple[InputBlock, np.ndarray]]:
    """Made-up texts of several lengths, one of them empty, and images, with their labels."""
    folders = [tmp_path_factory.mktemp(name) for name in ("text", "image")]
    write_text_network(folders[0], WORDS)
    write_image_network(folders[1])
    rng = np.random.default_rng(1)
    labels = rng.integers(2, size=N)
    texts = [" ".join([WORDS[one], *rng.choice(WORDS[2:], rng.integers(1, 9))]) for one in labels]
    texts[5] = ""
    jpegs = [striped(bool(one), at) for at, one in enumerate(labels)]
    parts = {
        finetuned: (texts, TextNetwork(folders[0], "a network", "mean", 16)),
        finetuned_image: (jpegs, ImageNetwork(folders[1], "a network")),
    }
    return {
        kind.__name__: (
            InputBlock(np.array(inputs, dtype=object), network, frozenset({"shown"})),
            CLASSES[labels],
        )
        for kind, (inputs, network) in parts.items()
    }


@pytest.fixture(autouse=True)
def written_each_time(monkeypatch) -> None:
    """Write a checkpoint after each epoch, however short."""
    monkeypatch.setattr(checkpoints, "MAX_SHARE", np.inf)


def fit(kind: Any, blocks: Any, cache: Path, monkeypatch, **changes: Any) -> Any:
    monkeypatch.setattr(tuning_cache, "cache_folder", lambda: cache)
    block, y = blocks[kind.__name__]
    vectors = np.ones((N, 1), dtype=np.float32)
    train, validation = (
        ({"shown": vectors[rows], "shown.input": block[rows]}, y[rows])
        for rows in (np.arange(32), np.arange(32, N))
    )
    settings = kind.Settings(**QUICK | changes)
    return kind.Classifier(settings, 7, {"shown": 1.0}).fit(*train, validation)


def stop_after(epochs: int, monkeypatch) -> list[int]:
    """Have training be stopped after so many epochs from now on; return a list of those done."""
    done: list[int] = []
    batches = training_loop.batches

    def counted(*args: Any) -> Any:
        if len(done) == epochs:
            raise Stopped
        done.append(len(done))
        return batches(*args)

    monkeypatch.setattr(training_loop, "batches", counted)
    return done


def saved(classifier: Any, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    classifier.save(folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (finetuned, {"layers": 1}),
        (finetuned, {"layers": "all", "patience": 2}),
        (finetuned, {"layers": "all", "lora": 2, "precision": "bfloat16"}),
        (finetuned_image, {"layers": 1}),
    ],
)
def test_tuning_that_was_stopped_goes_on_to_the_same_bytes(
    kind, changes, blocks, tmp_path, monkeypatch, capsys
):
    whole = fit(kind, blocks, tmp_path / "cache", monkeypatch, **changes)
    expected = saved(whole, tmp_path / "whole")
    cache = tmp_path / "other cache"
    for epochs in (1, 2):  # it is stopped twice
        with monkeypatch.context() as patch:
            stop_after(epochs, patch)
            with pytest.raises(Stopped):
                fit(kind, blocks, cache, patch, **changes)
    capsys.readouterr()
    with monkeypatch.context() as patch:
        done = stop_after(9, patch)
        resumed = fit(kind, blocks, cache, patch, **changes)
    assert "goes on after epoch 3" in capsys.readouterr().err
    assert len(done) == len(whole.history_["train_loss"]) - 3
    assert resumed.history_ == whole.history_
    assert saved(resumed, tmp_path / "resumed") == expected
    assert not list((cache / "tuned").glob(".*"))  # what is done needs no checkpoint


def test_a_damaged_checkpoint_is_named_and_training_starts_anew(
    blocks, tmp_path, monkeypatch, capsys
):
    expected = saved(fit(finetuned, blocks, tmp_path / "cache", monkeypatch), tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        with pytest.raises(Stopped):
            fit(finetuned, blocks, tmp_path / "other", patch)
    (file,) = (tmp_path / "other" / "tuned").glob(".*")
    for damaged in (file.read_bytes()[:-200], b"damaged", b""):
        file.write_bytes(damaged)
        with monkeypatch.context() as patch:
            stop_after(0, patch)
            with pytest.raises(Stopped):
                fit(finetuned, blocks, tmp_path / "other", patch)
        assert f"{file} is damaged, training starts anew" in capsys.readouterr().err
    model = fit(finetuned, blocks, tmp_path / "other", monkeypatch)
    assert saved(model, tmp_path / "anew") == expected


def test_short_epochs_write_no_checkpoint(blocks, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "MAX_SHARE", 0.05)
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        with pytest.raises(Stopped):
            fit(finetuned, blocks, tmp_path, patch)
    assert not list(tmp_path.rglob("*.checkpoint"))


def test_what_nobody_goes_on_with_is_removed(blocks, tmp_path, monkeypatch):
    for epochs, smoothing in ((1, 0.1), (1, 0.2)):
        with monkeypatch.context() as patch:
            stop_after(epochs, patch)
            with pytest.raises(Stopped):
                fit(finetuned, blocks, tmp_path, patch, label_smoothing=smoothing)
    old, new = sorted((tmp_path / "tuned").glob(".*"), key=lambda file: file.stat().st_mtime_ns)
    os.utime(old, (0, 0))
    fit(finetuned, blocks, tmp_path, monkeypatch)
    assert new.exists() and not old.exists()
