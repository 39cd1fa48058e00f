"""A network is tuned again where what tunes it does something else, and only there."""

import pytest
from helpers.repository import copy_rooms

from stages.classifiers.base.tuning_cache import code_key


@pytest.fixture
def rooms(tmp_path):
    """A copy of the rooms that tuning is in, to be edited."""
    return copy_rooms(tmp_path, "common", "classifiers")


def key_of(rooms):
    code_key.cache_clear()
    return code_key(rooms.parent)


def test_a_comment_in_every_file_changes_nothing(rooms):
    assert key_of(rooms) == code_key()
    for file in rooms.rglob("*.py"):
        file.write_text(f"# Why, and for whom.\n{file.read_text()}\n\n# The end.\n")
    assert key_of(rooms) == code_key()


@pytest.mark.parametrize(
    "name", ["svm", "finetuned_multimodal", "base/interface", "base/estimators", "base/checkpoints"]
)
def test_nor_does_code_that_tunes_no_network(rooms, name):
    with (rooms / "classifiers" / f"{name}.py").open("a") as file:
        file.write("\nANSWER = 42\n")
    assert key_of(rooms) == code_key()


@pytest.mark.parametrize(
    "name",
    [
        "classifiers/base/text_classifier",
        "classifiers/base/training_loop",
        "classifiers/base/contrastive",
        "classifiers/base/low_rank",
        "classifiers/base/frozen_layers",
        "classifiers/base/trainable_images",
        "common/text_network",
        "common/image_steps",
    ],
)
def test_code_that_does_something_else_changes_the_key(rooms, name):
    with (rooms / f"{name}.py").open("a") as file:
        file.write("\nANSWER = 42\n")
    assert key_of(rooms) != code_key()
