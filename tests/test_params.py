"""params.yaml is checked whole: each fault is named with its place and what may stand there."""

import copy
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.errors import InputError
from stages.params import load_params, parse_params

TOP = Path(__file__).parents[1]
CONTENT = YAML(typ="safe").load(TOP / "params.yaml")


def changed(place, value):
    """Return the repository's params with `value` at `place`, keys with dots between them."""
    content = copy.deepcopy(CONTENT)
    section = content
    *above, key = place.split(".")
    for part in above:
        section = section[part]
    section[key] = value
    return content


def without(place):
    """Return the repository's params without the key at `place`."""
    content = copy.deepcopy(CONTENT)
    section = content
    *above, key = place.split(".")
    for part in above:
        section = section[part]
    del section[key]
    return content


def refusal(content):
    """Return what is said where `content` is refused."""
    with pytest.raises(InputError) as caught:
        parse_params(content, "params.yaml")
    assert str(caught.value).startswith("params.yaml: ")
    return str(caught.value)


def test_the_repository_s_own_params_are_good():
    params = load_params(TOP / "params.yaml")
    assert params == parse_params(CONTENT)
    assert params.seed == CONTENT["seed"]
    assert set(params.encoders) == set(CONTENT["encoders"])
    assert params.models() == [
        (modality, classifier)
        for modality in CONTENT["modalities"]
        for classifier in CONTENT["classifiers"]
    ]


def test_modalities_see_the_encoders_of_their_folder():
    params = parse_params(CONTENT)
    image, text = CONTENT["image"]["encoders"], CONTENT["text"]["encoders"]
    assert list(params.encoders_of("image")) == image
    assert list(params.encoders_of("text")) == text
    assert params.encoders_of("multimodal") == {
        name: Path(f"data/embeddings/{kind}/{name}.parquet")
        for kind, names in (("image", image), ("text", text))
        for name in names
    }


def test_a_modality_may_name_fewer_encoders():
    name = CONTENT["image"]["encoders"][0]
    params = parse_params(changed("modalities.multimodal.encoders", [name]))
    assert list(params.encoders_of("multimodal")) == [name]


@pytest.mark.parametrize(
    ("source", "given", "smallest"),
    [("demo", "auto", 10), ("table", "auto", 10), ("bestbuy", "auto", 100), ("bestbuy", 7, 7)],
)
def test_the_smallest_class_goes_by_the_source(source, given, smallest):
    content = changed("data.source", source)
    content["data"]["min_class_size"] = given
    assert parse_params(content).data.smallest_class == smallest


@pytest.mark.parametrize(
    ("place", "known"),
    [
        ("sede", ["seed", "classifiers"]),
        ("data.sorce", ["source", "folder"]),
        ("data.table.labels", ["label", "sku", "image_path"]),
        ("split.train", ["validation", "test"]),
        ("download.retry", ["retries", "backoff_s"]),
        ("encoders.resnet50.modle", ["model", "path", "sha256"]),
        ("encoders.minilm.pool", ["pooling", "max_tokens"]),
        ("modalities.image.encoder", ["encoders", "embeddings"]),
        ("classifiers.svm.c", ["C", "gamma"]),
        ("classifiers.mlp.epoch", ["epochs", "patience"]),
    ],
)
def test_an_unknown_key_is_named_with_those_that_are_known(place, known):
    said = refusal(changed(place, 1))
    assert f"{place} is not a key that is known; known here: " in said
    offered = said.partition("known here: ")[2].split(", ")
    assert set(known) <= set(offered)


@pytest.mark.parametrize(
    ("place", "value", "part"),
    [
        ("seed", "42", "integer"),
        ("seed", 4.2, "integer"),
        ("seed", True, "integer"),
        ("data.demo.products", "many", "integer"),
        ("data.table.sku", 5, "string"),
        ("data.mirror", "localhost:8765", "https?://"),
        ("split.test", "0.2", "number"),
        ("download.retry_failed", "no", "boolean"),
        ("image.encoders", "resnet50", "list"),
        ("image.encoders.0", 5, "string"),
        ("encoders.minilm.sha256", "abc", "[0-9a-f]{64}"),
        ("classifiers.mlp.epochs", 1.5, "integer"),
        ("classifiers", [], "dict"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_place(place, value, part):
    if place == "image.encoders.0":
        said = refusal(changed("image.encoders", [value]))
    else:
        said = refusal(changed(place, value))
    assert f"params.yaml: {place}: " in said
    assert part in said
    assert f"(it is {value!r})" in said


@pytest.mark.parametrize(
    ("place", "value", "part"),
    [
        ("seed", -1, "greater than or equal to 0"),
        ("data.min_class_size", 2, "greater than or equal to 3"),
        ("data.demo.products", 10, "greater than or equal to 200"),
        ("split.validation", 0, "greater than 0"),
        ("split.test", 1.0, "less than 1"),
        ("download.concurrency", 0, "greater than or equal to 1"),
        ("download.max_failed", 1.1, "less than or equal to 1"),
        ("classifiers.mlp.dropout", 1.0, "less than 1"),
        ("classifiers.svm.gamma", float("nan"), "finite"),
        ("modalities.image.encoders", [], "at least 1"),
        ("classifiers", {}, "at least 1"),
    ],
)
def test_a_value_out_of_range_is_named_with_the_range(place, value, part):
    said = refusal(changed(place, value))
    assert f"params.yaml: {place}" in said
    assert part in said


@pytest.mark.parametrize(
    ("place", "value", "alternatives"),
    [
        ("data.source", "best_buy", ["demo", "bestbuy", "table"]),
        ("weights", "random", ["auto", "pretrained"]),
        ("text.fields", ["title"], ["name", "description", "manufacturer"]),
        ("encoders.resnet50.kind", "torch", ["keras", "huggingface_image", "onnx"]),
        ("encoders.minilm.pooling", "max", ["mean", "cls", "pooler"]),
        ("classifiers.svc", {"C": 1.0}, ["logistic_regression", "svm", "random_forest", "mlp"]),
        ("modalities.image.embeddings", "image", ["data/embeddings/image", "data/embeddings/text"]),
        ("image.encoders", ["resnet"], ["resnet50", "convnextv2"]),
        ("image.encoders", ["minilm"], ["resnet50", "convnextv2"]),
        ("text.encoders", ["minilm", "resnet50"], ["minilm", "bert"]),
        ("modalities.image.encoders", ["resnet50", "minilm"], ["resnet50, convnextv2"]),
        ("modalities.image.encoders", ["resnet"], ["resnet50, convnextv2"]),
    ],
)
def test_an_unknown_name_is_refused_with_those_there_are(place, value, alternatives):
    said = refusal(changed(place, value))
    assert place.removesuffix(".kind") in said
    for alternative in alternatives:
        assert alternative in said


@pytest.mark.parametrize("place", ["seed", "data.source", "split", "classifiers.svm.C"])
def test_a_missing_key_is_named(place):
    assert refusal(without(place)) == f"params.yaml: {place} is missing"


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("split.validation", 0.8, "split: validation and test must leave products to train on"),
        ("data.table.archive", "pictures.zip", "data.table: archive needs image_path"),
        ("image.encoders", ["resnet50", "resnet50"], "image.encoders names one encoder twice"),
        ("text.encoders", [], "modalities.text has no encoder left"),
        ("encoders.Bert-Base", {}, "encoders.Bert-Base: "),
        ("classifiers.svm.kind", "mlp", "classifiers: svm has the key kind"),
    ],
)
def test_values_that_do_not_go_together_are_refused(place, value, said):
    assert f"params.yaml: {said}" in refusal(changed(place, value))


def test_two_columns_for_pictures_are_refused():
    content = changed("data.table.image_url", "url")
    content["data"]["table"]["image_path"] = "path"
    assert "name image_url or image_path, not both" in refusal(content)


def test_every_fault_is_named_at_once():
    content = changed("seed", "x")
    content["split"]["test"] = 2
    said = refusal(content)
    assert "params.yaml: seed: " in said
    assert "params.yaml: split.test: " in said


@pytest.mark.parametrize(
    ("text", "said"),
    [("seed: [1", "is no YAML"), ("seed: 1\nseed: 2", "is no YAML"), ("", "dictionary")],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text, said):
    place = tmp_path / "params.yaml"
    place.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said) as caught:
        load_params(place)
    assert str(place) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="run from the top of the repository"):
        load_params(tmp_path / "params.yaml")


def test_pictures_and_texts_share_a_row_as_the_squares_of_their_weights():
    scales = load_params(TOP / "params.yaml").scales_of("multimodal")
    assert sum(scale**2 for scale in scales.values()) == pytest.approx(1)
    assert scales["resnet50"] == scales["convnextv2"]
    pictures = (scales["resnet50"] ** 2 + scales["convnextv2"] ** 2) ** 0.5
    assert pictures / scales["minilm"] == pytest.approx(0.5)
    assert load_params(TOP / "params.yaml").scales_of("text") == {"minilm": 1.0}
