"""Which columns are read: those that are named, else the model's own, else those named alike."""

from pathlib import Path

import pytest

from serving.batch.columns import choose_columns, parse_columns
from stages.common.errors import InputError
from stages.fusion.model_file import ModelFile

OWN = {
    "path": "products.csv",
    "sheet": None,
    "sku": "id",
    "name": "title",
    "description": "long_text",
    "manufacturer": None,
    "label": "category",
    "image_url": "photo",
    "image_path": None,
    "archive": None,
}


@pytest.fixture
def choose(model_folders):
    """A function that chooses among columns and returns those that are read, by what they hold."""

    def choose(found, named=(), *, own=None, model="multimodal", archive=None):
        file = ModelFile.load(model_folders[model]).model_copy(update={"table": own})
        chosen = choose_columns(
            Path("new.csv"),
            found,
            file,
            parse_columns(named),
            sheet=None,
            encoding=None,
            archive=archive,
        )
        return {key: name for key, name in chosen.model_dump().items() if name}

    return choose


def test_columns_are_those_of_the_table_that_the_model_was_trained_on(choose):
    found = ["id", "title", "name", "long_text", "photo", "category"]
    assert choose(found, own=OWN) == {
        "sku": "id",
        "name": "title",
        "description": "long_text",
        "image_url": "photo",
    }


def test_a_column_that_the_new_table_lacks_is_looked_for_by_what_it_holds(choose):
    assert choose(["name", "photo"], own=OWN) == {"name": "name", "image_url": "photo"}


def test_a_column_that_holds_one_thing_is_not_read_as_another_by_its_name(choose):
    own = OWN | {"name": "description", "description": None}
    assert choose(["id", "description"], own=own) == {"sku": "id", "name": "description"}
    assert choose(["description"], ["name=description"]) == {"name": "description"}
    assert choose(["name", "title"], ["sku=name", "description=title"]) == {
        "sku": "name",
        "description": "title",
    }


def test_skus_that_name_the_files_of_images_are_still_read_as_skus(choose):
    wanted = {"sku": "sku", "name": "name", "image_path": "sku"}
    assert choose(["sku", "name"], ["image_path=sku"]) == wanted


def test_a_text_that_the_model_was_trained_without_is_left_out_or_refused(choose):
    found, own = ["title", "description"], OWN | {"description": None}
    assert choose(found, own=own) == {"name": "title"}
    with pytest.raises(InputError, match="description=description: the model was trained without"):
        choose(found, ["description=description"], own=own)


def test_the_command_line_comes_first(choose):
    found = ["id", "title", "heading", "photo", "file"]
    named = ["name=heading", "image_path=file"]
    assert choose(found, named, own=OWN) == {
        "sku": "id",
        "name": "heading",
        "image_path": "file",
    }


def test_of_two_columns_of_images_the_paths_are_read(choose):
    found = ["name", "image_url", "image_path"]
    assert choose(found) == {"name": "name", "image_path": "image_path"}


def test_an_archive_is_read_by_path_also_where_the_model_was_trained_on_urls(choose):
    chosen = choose(["title", "photo", "image_path"], own=OWN, archive="a.zip")
    assert chosen == {"name": "title", "image_path": "image_path", "archive": "a.zip"}


def test_what_the_model_does_not_read_is_not_asked_for(choose):
    found = ["sku", "name", "description", "manufacturer", "image_url"]
    assert set(choose(found, model="text")) == {"sku", "name", "description"}


def test_a_table_without_a_column_to_read_is_refused_with_what_it_has(choose):
    with pytest.raises(InputError) as caught:
        choose(["sku", "titel", "foto"])
    for part in ("'sku', 'titel', 'foto'", "name, description, image_path", "--column name=title"):
        assert part in str(caught.value)


def test_where_images_alone_are_read_the_example_names_a_column_of_images(choose):
    with pytest.raises(InputError, match="as in --column image_path=photo"):
        choose(["sku", "foto"], own=OWN | {"name": None, "description": None})


def test_many_columns_are_not_all_listed(choose):
    with pytest.raises(InputError, match="and 970 more"):
        choose([f"column {i}" for i in range(1000)])


def test_an_archive_needs_the_names_of_the_images(choose):
    with pytest.raises(InputError, match="--column image_path="):
        choose(["name", "image_url"], archive="a.zip")


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (["title"], "--column is 'title'"),
        (["label=category"], "sku, name, description"),
        (["name="], "--column is 'name='"),
        (["name=a", "name=b"], "twice"),
        (["image_url=a", "image_path=b"], "name one of them"),
    ],
)
def test_a_wrong_flag_says_how_to_write_it(named, said):
    with pytest.raises(InputError) as caught:
        parse_columns(named)
    assert said in str(caught.value)
