"""params.yaml is checked whole: each fault is named with its place and what may stand there."""

import copy
from functools import reduce
from shutil import copyfile
from typing import get_args, get_origin

import pytest
from helpers.repository import TOP
from ruamel.yaml import YAML

from stages.catalog.settings import min_class_size
from stages.common.errors import InputError
from stages.common.settings import Settings
from stages.encoders.text_counts import MULTILINGUAL
from stages.fusion.settings import block_weights
from stages.params import Params, load_params, parse_params
from stages.params import _module_of as module_of

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
        for classifier in [*CONTENT["classifiers"], "ensemble"]
    ]


@pytest.mark.parametrize("name", ["ensemble", "weights"])
def test_a_new_kind_of_classifier_has_no_name_that_metrics_use(monkeypatch, name):
    monkeypatch.setattr(
        "stages.params._module_of", lambda section, kind: found(section, kind, name)
    )
    said = refusal(changed(f"classifiers.{name}", CONTENT["classifiers"]["svm"]))
    assert said == f"params.yaml: classifiers.{name} needs another name: metrics use it"


def found(section, kind, name):
    """Return the module of a kind, where a new one of a name is like svm."""
    return module_of(section, "svm" if kind == name else kind)


def test_an_ensemble_needs_two_classifiers_that_are_trained_and_known():
    names = ["svm", "finetuned"]  # which is known, and not trained
    params = parse_params(changed("ensemble.classifiers", names))
    assert params.ensemble_members() == ["svm"]
    assert "ensemble" not in {classifier for _, classifier in params.models()}
    said = refusal(changed("ensemble.classifiers", ["svm", "boosting"]))
    kinds = "finetuned, finetuned_image, finetuned_multimodal, logistic_regression, mlp, "
    assert f"ensemble.classifiers names 'boosting'; the kinds are {kinds}" in said


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({}, None),
        (
            {"image.encoders": ["resnet50"]},
            "image_encoder is clip_image, which is not in use: add ",
        ),
        (
            {"text.encoders": ["ngrams"]},
            "text_encoder is clip_text, which is not in use: add it to",
        ),
        ({"classifiers.zero_shot": {"text_encoder": "ngrams"}}, "of kind hashed_ngrams: name an"),
        ({"encoders.clip_text.model": "lab/other"}, "clip_image and clip_text are of two models"),
        ({"modalities.text.encoders": ["ngrams"]}, "the modality text does not see clip_text: add"),
        ({"classifiers.zero_shot": {"prompt": "a photo"}}, "the prompt has no {label}"),
    ],
)
def test_zero_shot_needs_the_two_towers_of_one_model(changes, part):
    content = changed("classifiers.zero_shot", {})
    content["image"]["encoders"] = ["clip_image"]
    content["text"]["encoders"] = ["clip_text", "ngrams"]
    for place, value in changes.items():
        *above, key = place.split(".")
        reduce(lambda section, key: section[key], above, content)[key] = value
    if part is None:
        assert parse_params(content).classifiers["zero_shot"].prompt == "a photo of a {label}"
    else:
        assert "params.yaml: classifiers.zero_shot" in (said := refusal(content)) and part in said


@pytest.mark.parametrize(
    ("classifier", "encoder", "part"),
    [
        ("finetuned", "minilm", None),
        ("finetuned_image", "convnextv2", None),
        ("finetuned", "ngrams", "names ngrams, of kind hashed_ngrams: name one of kind "),
        ("finetuned", "bert", "names bert, which no modality sees: add it to text.encoders, or "),
        ("finetuned_image", "resnet50", None),
        ("finetuned_image", "minilm", "of kind huggingface_image or keras, such as convnextv2"),
    ],
)
def test_a_network_is_tuned_that_is_seen_and_can_be_tuned(classifier, encoder, part):
    content = changed(f"classifiers.{classifier}", {"encoder": encoder})
    if part is None:
        assert parse_params(content).classifiers[classifier].encoder == encoder
    else:
        said = refusal(content)
        assert f"params.yaml: classifiers.{classifier}: encoder names" in said and part in said


@pytest.mark.parametrize(
    ("classifier", "place"),
    [("finetuned_image", ""), ("finetuned_multimodal", "image.")],
)
def test_lora_of_a_network_of_keras_is_refused(classifier, place):
    settings = {"encoder": "resnet50", "lora": 4}
    content = changed(f"classifiers.{classifier}", {"image": settings} if place else settings)
    said = f"classifiers.{classifier}: {place}encoder names resnet50, of kind keras, which has no"
    assert said in refusal(content)
    settings["encoder"] = "convnextv2"
    assert classifier in parse_params(content).classifiers


def test_zero_shot_of_texts_alone_needs_no_tower_of_images():
    content = changed("classifiers.zero_shot", {})
    content["image"]["encoders"], content["text"]["encoders"] = [], ["clip_text"]
    content["modalities"] = {"text": content["modalities"]["text"]}
    assert "zero_shot" in parse_params(content).classifiers


def weights_of(params, modality):
    return block_weights(params.fusion, params.blocks_of(modality))


def test_modalities_see_the_encoders_of_their_folder():
    params = parse_params(CONTENT)
    image, text = CONTENT["image"]["encoders"], CONTENT["text"]["encoders"]
    assert list(params.blocks_of("image")) == image
    assert list(params.blocks_of("text")) == text
    assert params.blocks_of("multimodal") == {
        name: (name, modality)
        for modality, names in (("image", image), ("text", text))
        for name in names
    }


def test_a_modality_may_name_fewer_encoders():
    name = CONTENT["image"]["encoders"][0]
    params = parse_params(changed("modalities.multimodal.encoders", [name]))
    assert list(params.blocks_of("multimodal")) == [name]


@pytest.mark.parametrize(
    ("source", "given", "smallest"),
    [("demo", "auto", 10), ("table", "auto", 10), ("bestbuy", "auto", 100), ("bestbuy", 7, 7)],
)
def test_the_smallest_class_goes_by_the_source(source, given, smallest):
    content = changed("data.source", source)
    content["data"]["min_class_size"] = given
    assert min_class_size(parse_params(content).data) == smallest


@pytest.mark.parametrize(
    ("place", "known"),
    [
        ("sede", ["seed", "classifiers"]),
        ("data.sorce", ["source", "folder"]),
        ("data.table.labels", ["label", "sku", "image_path"]),
        ("split.train", ["validation", "test", "folds", "group_by"]),
        ("fusion.weight", ["strategy", "image", "text", "encoders", "svd_components"]),
        ("image.weight", ["encoders"]),
        ("encoders.ngrams.places", ["n_features"]),
        ("download.retry", ["retries", "backoff_s"]),
        ("encoders.resnet50.modle", ["model", "path", "sha256"]),
        ("encoders.minilm.pool", ["pooling", "max_tokens"]),
        ("modalities.image.encoder", ["encoders", "embeddings"]),
        ("classifiers.svm.c", ["C", "gamma"]),
        ("classifiers.mlp.epoch", ["max_epochs", "patience"]),
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
        ("data.table.sku", 5, "string, in quotes"),
        ("data.table.label", None, "string (it is"),
        ("encoders.minilm.revision", 7e10, "string, in quotes"),
        ("data.mirror", "localhost:8765", "https?://"),
        ("data.mirror", "http://localhost:87650", "its host or port is none that can be asked"),
        ("encoders.openai_small.base_url", "http://[::1/v1", "its host or port is none"),
        ("encoders.openai_small.base_url", "http://shop..example/v1", "its host or port is none"),
        ("split.test", "0.2", "number"),
        ("split.folds", 2.5, "integer"),
        ("split.group_by", "manufacturer", "list"),
        ("fusion.image", "half", "number"),
        ("fusion.svd_components", 0.5, "integer"),
        ("download.retry_failed", "no", "boolean"),
        ("image.encoders", "resnet50", "list"),
        ("image.encoders.0", 5, "string, in quotes"),
        ("encoders.minilm.sha256", "abc", "[0-9a-f]{64}"),
        ("classifiers.mlp.max_epochs", 1.5, "integer"),
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


@pytest.mark.parametrize("place", ["data.mirror", "data.bestbuy.products", "data.table.archive"])
def test_a_password_is_refused_and_not_repeated(place):
    content = changed(place, "https://user:secret@x.example/a.zip")
    content["data"]["table"]["image_path"] = "image"
    said = refusal(content)
    assert f"{place}: " in said
    assert "~/.netrc" in said and "x.example" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("place", "value", "part"),
    [
        ("seed", -1, "greater than or equal to 0"),
        ("jobs", 0, "greater than or equal to 1"),
        ("data.min_class_size", 2, "greater than or equal to 3"),
        ("data.table.encoding", "klingon", "an encoding that Python knows, such as cp1252"),
        ("data.table.encoding", "base64", "an encoding that Python knows, such as cp1252"),
        ("data.demo.products", 10, "greater than or equal to 200"),
        ("split.validation", 0, "greater than 0"),
        ("split.test", 1.0, "less than 1"),
        ("split.folds", 0, "greater than or equal to 1"),
        ("split.folds", 21, "less than or equal to 20"),
        ("split.validation_folds", 0, "greater than or equal to 1"),
        ("fusion.text", 0, "greater than or equal to 0.000001"),
        ("fusion.image", 1e308, "less than or equal to 1000000"),
        ("fusion.encoders", {"ngrams": -1.0}, "greater than or equal to 0.000001"),
        ("fusion.encoders", {"ngrams": 1e-320}, "greater than or equal to 0.000001"),
        ("fusion.svd_components", 0, "greater than or equal to 1"),
        ("encoders.ngrams.n_features", 65, "multiple of 2"),
        ("encoders.ngrams.fields", ["title"], "'name', 'description' or 'manufacturer'"),
        ("encoders.resnet50.tta", [], "at least 1 item"),
        ("encoders.resnet50.tta", ["upside_down"], "'identity', 'hflip' or 'zoom_out'"),
        ("encoders.ngrams.n_features", 32, "greater than or equal to 64"),
        ("download.concurrency", 0, "greater than or equal to 1"),
        ("download.max_bytes", 10**12, "less than 2147483648"),
        ("download.shard_rows", 10**20, "less than 9223372036854775808"),
        ("cache.max_gb", 1e300, "less than or equal to 1000000000000000000000000000000"),
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
        ("split.strategy", "random", ["grouped", "stratified"]),
        ("split.group_by", ["brand"], ["manufacturer"]),
        ("fusion.strategy", "middle", ["hybrid", "early", "late"]),
        ("fusion.encoders", {"ngram": 1.0}, ["minilm", "ngrams", "resnet50"]),
        ("image.encoders", ["ngrams"], ["resnet50", "convnextv2"]),
        ("weights", "random", ["auto", "pretrained"]),
        ("jobs", "all", ["integer", "auto"]),
        ("text.fields", ["title"], ["name", "description", "manufacturer"]),
        ("encoders.resnet50.kind", "torch", ["keras", "huggingface_image", "onnx"]),
        ("encoders.resnet50.kind", "../params", ["keras", "huggingface_image", "onnx"]),
        ("encoders.minilm.pooling", "max", ["mean", "cls", "pooler"]),
        ("classifiers.svc", {"C": 1.0}, ["logistic_regression", "svm", "random_forest", "mlp"]),
        ("modalities.image.embeddings", "image", ["data/embeddings/image", "data/embeddings/text"]),
        ("image.encoders", ["resnet"], ["resnet50", "convnextv2"]),
        ("image.encoders", ["minilm"], ["resnet50", "convnextv2"]),
        ("text.encoders", ["minilm", "resnet50"], ["minilm", "bert", "ngrams"]),
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
        ("data.table.archive", "images.zip", "data.table: archive needs image_path"),
        ("image.encoders", ["resnet50", "resnet50"], "image.encoders names one encoder twice"),
        ("ensemble.classifiers", ["svm", "svm"], "ensemble.classifiers names one classifier twice"),
        (
            "modalities.coverage",
            {"embeddings": "data/embeddings"},
            "modalities.coverage needs another name",
        ),
        (
            "text.encoders",
            [],
            "modalities.text has no encoder left to see with: name one in image.encoders or "
            "text.encoders, or keep only the modality of the input that is left",
        ),
        (
            "encoders.Bert-Base",
            {"kind": "keras", "model": "ResNet50"},
            "encoders.Bert-Base: String should match",
        ),
        (
            "encoders.sku",
            {"kind": "keras", "model": "ResNet50"},
            "encoders.sku needs another name: a column of the tables has it",
        ),
        ("classifiers.svm.kind", "mlp", "classifiers.svm.kind is not a key that is known"),
    ],
)
def test_values_that_do_not_go_together_are_refused(place, value, said):
    assert f"params.yaml: {said}" in refusal(changed(place, value))


@pytest.mark.parametrize("backend", ["torch", "tensorflow"])
def test_int8_of_a_backend_that_has_none_is_refused(backend):
    content = changed("backend", backend) | {"precision": "int8"}
    said = f"params.yaml: precision: int8 is for openvino alone, and {backend} was to run the enco"
    assert said in refusal(content)
    content["modalities"] = {"text": content["modalities"]["text"]}
    content["image"]["encoders"], content["text"]["encoders"] = [], ["ngrams"]  # no network
    assert parse_params(content).precision == "int8"


def test_a_backend_that_cannot_run_an_encoder_in_use_is_refused():
    content = changed("backend", "tensorflow")
    said = "params.yaml: backend: tensorflow runs no encoder of kind huggingface_image: set it to"
    assert said in refusal(content)
    content["image"]["encoders"], content["text"]["encoders"] = ["resnet50"], ["ngrams"]
    assert parse_params(content).backend == "tensorflow"
    content["precision"] = "bfloat16"
    assert "params.yaml: precision: bfloat16 is not to be had with tensorflow" in refusal(content)


def test_with_folds_it_is_they_that_say_the_share_for_test():
    content = changed("split.validation", 0.6)
    content["split"] |= {"test": 0.1, "folds": 2}
    assert "must leave products to train on" in refusal(content)


def test_two_columns_for_pictures_are_refused():
    content = changed("data.table.image_url", "url")
    content["data"]["table"]["image_path"] = "path"
    assert "name image_url or image_path, not both" in refusal(content)


def test_columns_to_group_by_need_groups():
    content = changed("split.strategy", "stratified")
    content["split"]["group_by"] = ["manufacturer"]
    assert "params.yaml: split: group_by needs the strategy grouped" in refusal(content)


def test_a_table_without_the_column_to_group_by_is_refused_before_images_are_fetched():
    content = changed("split.group_by", ["manufacturer"])
    content["data"]["table"]["manufacturer"] = None
    parse_params(content)  # the demo has manufacturers
    content["data"]["source"] = "table"
    said = refusal(content)
    assert "split.group_by names manufacturer, but data.table.manufacturer is null" in said


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


def sections(model, content, place=()):
    """Yield each section of params.yaml, as the model has it: its class and the keys above it.

    A mapping of entries gives one section per kind that an entry may be of.
    """
    yield model, place
    for name, field in model.model_fields.items():
        kinds = list(sections_in(field.annotation))
        if get_origin(field.annotation) is dict:
            for key, entry in content[name].items():
                for kind in kinds:
                    marks = kind.model_fields.get("kind")
                    mine = entry.get("kind", key)
                    if marks is None or get_args(marks.annotation) == (mine,):
                        yield from sections(kind, entry, (*place, name, key))
        elif kinds:
            yield from sections(kinds[0], content[name], (*place, name))


def sections_in(annotation):
    """Yield the sections that an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for part in get_args(annotation):
        yield from sections_in(part)


PLACES = {
    (".".join((*place, name)), name in content_at)
    for model, place in sections(Params, CONTENT)
    for content_at in [reduce(lambda section, key: section[key], place, CONTENT)]
    for name in model.model_fields
    if not (name == "kind" and place[0] == "classifiers")
}


@pytest.mark.parametrize("place", sorted(place for place, _ in PLACES))
@pytest.mark.parametrize("value", [object(), {"no such key": 1}, [[]], b"bytes"], ids=type)
def test_no_key_takes_a_value_of_any_type(place, value):
    said = refusal(changed(place, value))
    assert said.startswith(f"params.yaml: {place.removesuffix('.kind')}")


@pytest.mark.parametrize("place", sorted({place.rpartition(".")[0] for place, _ in PLACES}))
def test_no_section_takes_an_unknown_key(place):
    said = refusal(changed(f"{place}.no_such_key".removeprefix("."), 1))
    assert f"{place}.no_such_key".removeprefix(".") in said
    assert "known here: " in said or place in ("encoders", "modalities", "classifiers")


@pytest.mark.parametrize("place", sorted(place for place, is_there in PLACES if is_there))
def test_a_number_out_of_range_is_refused_wherever_there_is_one(place):
    value = reduce(lambda section, key: section[key], place.split("."), CONTENT)
    if type(value) in (int, float):
        assert refusal(changed(place, -1)).startswith("params.yaml: ")
        assert refusal(changed(place, float("nan"))).startswith(f"params.yaml: {place}")
        assert refusal(changed(place, float("inf"))).startswith(f"params.yaml: {place}")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="run from the top of the repository"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("image", [0.5, 2.0])
def test_pictures_and_texts_share_a_row_as_the_squares_of_their_weights(image):
    content = changed("fusion", CONTENT["fusion"] | {"image": image, "text": 1.5, "encoders": {}})
    scales = weights_of(parse_params(content), "multimodal")
    assert sum(scale**2 for scale in scales.values()) == pytest.approx(1)
    images = scales["resnet50"] ** 2 + scales["convnextv2"] ** 2
    texts = scales["minilm"] ** 2 + scales["ngrams"] ** 2
    assert images / texts == pytest.approx((image / 1.5) ** 2)
    assert scales["resnet50"] == scales["convnextv2"] and scales["minilm"] == scales["ngrams"]


def test_the_encoders_of_a_kind_share_its_weight_as_the_squares_of_theirs():
    params = parse_params(changed("fusion.encoders", {"ngrams": 0.5, "resnet50": 3.0}))
    both, text = weights_of(params, "multimodal"), weights_of(params, "text")
    assert text["ngrams"] / text["minilm"] == pytest.approx(0.5)
    assert both["ngrams"] / both["minilm"] == pytest.approx(0.5)
    assert both["resnet50"] / both["convnextv2"] == pytest.approx(3)
    assert sum(scale**2 for scale in text.values()) == pytest.approx(1)
    params = parse_params(changed("modalities.text.encoders", ["ngrams"]))
    assert weights_of(params, "text") == {"ngrams": 1.0}


def test_each_encoder_is_of_the_image_or_of_the_text():
    params = parse_params(CONTENT)
    wanted = {name: kind for kind in ("image", "text") for name in CONTENT[kind]["encoders"]}
    assert {name: block.input for name, block in params.blocks_of("multimodal").items()} == wanted


def test_the_encoder_that_is_recommended_for_other_languages_is_there():
    entry = load_params(TOP / "params.yaml").encoders[MULTILINGUAL]
    assert (entry.modality, entry.prefix) == ("text", "query: ")


def lists(section, above=""):
    """Yield the keys of all lists, with dots between them."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from lists(value, f"{above}{key}.")
        elif isinstance(value, list):
            yield f"{above}{key}"


@pytest.mark.parametrize("key", lists(CONTENT))
def test_one_experiment_after_another_may_set_a_list_and_empty_it(tmp_path, key):
    from dvc.utils.hydra import apply_overrides

    file = tmp_path / "params.yaml"
    copyfile(TOP / "params.yaml", file)
    for value in (["a", "b"], []):
        apply_overrides(file, [f"{key}=[{','.join(value)}]", f"seed={len(value)}"])
        wanted = changed(key, value) | {"seed": len(value)}
        assert YAML(typ="safe").load(file) == wanted
