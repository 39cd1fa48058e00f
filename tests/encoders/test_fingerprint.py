"""A cached vector is used again where nothing that it depends on has changed, and only there."""

import ast
from dataclasses import replace

import pytest
from helpers.repository import copy_rooms

from stages.common import code_hash
from stages.encoders import fingerprint
from stages.encoders.backends.base import Backend
from stages.encoders.fingerprint import code_key, network_key, vector_key
from stages.encoders.huggingface_image import Settings as ImageSettings
from stages.encoders.huggingface_text import Settings as TextSettings
from stages.encoders.onnx_text import Settings as OnnxTextSettings
from stages.encoders.settings import ImageEncoderSettings

KINDS = ("huggingface_image", "huggingface_text", "keras", "onnx", "onnx_text")
SETTINGS = ImageSettings(kind="huggingface_image", model="lab/model")
BACKEND = Backend("openvino", "float32")


@pytest.fixture
def room(tmp_path):
    """A copy of the room of encoders, to be edited."""
    return copy_rooms(tmp_path, "common", "encoders") / "encoders"


@pytest.fixture(scope="module")
def before():
    """The keys of the room, which are those of a copy that was not edited yet."""
    return {kind: code_key([f"stages.encoders.{kind}"]) for kind in KINDS}


def key_of(room, kind):
    return code_key([f"stages.encoders.{kind}"], top=room.parents[1])


def keys_of(room):
    return {kind: key_of(room, kind) for kind in KINDS}


def edit(file, old, new):
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def sources(room):
    return [file for file in room.rglob("*.py") if file.name != "__init__.py"]


def test_the_key_of_a_copy_is_that_of_the_room_and_each_kind_has_its_own(room, before):
    assert keys_of(room) == before
    assert len(set(before.values())) == len(KINDS)


def test_a_comment_in_every_file_changes_no_key(room, before):
    for file in sources(room):
        file.write_text(f"# Why, and for whom.\n{file.read_text()}\n\n# The end.\n")
    assert keys_of(room) == before


def test_another_docstring_of_every_module_class_and_function_changes_no_key(room, before):
    for file in sources(room):
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
                if ast.get_docstring(node) is not None:
                    del node.body[0]
                node.body.insert(0, ast.Expr(ast.Constant("Other words.")))
        file.write_text(ast.unparse(ast.fix_missing_locations(tree)))
    assert keys_of(room) == before


def test_other_formatting_changes_no_key(room, before):
    for file in sources(room):
        file.write_text(ast.unparse(ast.parse(file.read_text())))
    assert keys_of(room) == before


def test_a_moved_module_changes_no_key(room, before):
    (room / "engines").mkdir()
    (room / "backends" / "openvino.py").rename(room / "engines" / "ov.py")
    (room / "feed.py").rename(room / "inputs.py")
    for file in sources(room):
        text = file.read_text()
        text = text.replace("stages.encoders.backends.openvino", "stages.encoders.engines.ov")
        file.write_text(text.replace("stages.encoders.feed", "stages.encoders.inputs"))
    assert keys_of(room) == before


def test_a_new_kind_changes_no_key_of_the_others(room, before):
    (room / "mean_colour.py").write_text("from stages.common.images import resize\n")
    assert keys_of(room) == before


def test_other_order_of_imports_changes_no_key(room, before):
    for file in sources(room):
        tree = ast.parse(file.read_text())
        imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        for node in imports:
            tree.body.remove(node)
            tree.body.insert(1, node)
            node.names.reverse()
        file.write_text(ast.unparse(tree))
    assert keys_of(room) == before


def test_a_function_of_one_name_from_elsewhere_in_a_library_makes_another_key(room):
    kind = room / "mine.py"
    kind.write_text("from keras.applications.resnet import preprocess_input\n")
    before = key_of(room, "mine")
    edit(kind, "applications.resnet", "applications.mobilenet_v2")
    assert key_of(room, "mine") != before


@pytest.mark.parametrize(
    "name",
    ["settings", "base", "embedding_cache", "table_encoder", "text_counts", "weights/huggingface"],
)
def test_code_whose_result_is_in_the_key_anyway_changes_none(room, before, name):
    with (room / f"{name}.py").open("a") as file:
        file.write("\nANSWER = 42\n")
    assert keys_of(room) == before


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("keras.py", "training=False", "training=True", {"keras"}),
        ("onnx_text.py", "1e-12", "1e-6", {"onnx_text"}),
        ("onnx_file.py", "read_model(path)", "read_model(origin)", {"onnx", "onnx_text"}),
        (
            "text_network_encoder.py",
            "dtype=np.int64",
            "dtype=np.int32",
            {"huggingface_text", "onnx_text"},
        ),
        ("../common/text_tokens.py", "or [0]", "or [1]", {"huggingface_text", "onnx_text"}),
        (
            "../common/huggingface.py",
            "flatten(1)",
            "flatten(2)",
            {"huggingface_image", "huggingface_text"},
        ),
        (
            "../common/text_network.py",
            "last_hidden_state[:, 0]",
            "last_hidden_state[:, 1]",
            {"huggingface_text"},
        ),
        (
            "backends/torch.py",
            "allow_tf32 = False",
            "allow_tf32 = True",
            {"huggingface_image", "huggingface_text", "keras"},
        ),
        ("backends/tensorflow.py", "dtype=np.float32", "dtype=np.float64", {"keras"}),
        (
            "backends/batching.py",
            "GPU_IMAGES = 256",
            "GPU_IMAGES = 128",
            {"huggingface_image", "huggingface_text", "keras"},
        ),
        ("../common/keras_weights.py", "variable.assign(", "variable.add(", {"keras"}),
        ("../common/tables.py", "zstd", "snappy", set()),
        ("backends/openvino.py", '"THROUGHPUT"', '"LATENCY"', set(KINDS)),
        (
            "../common/images.py",
            "DEFAULT_SIZE = 224",
            "DEFAULT_SIZE = 256",
            {"huggingface_image", "keras", "onnx"},
        ),
        ("../common/image_network.py", 'backend="pil"', 'backend="fast"', {"huggingface_image"}),
        ("../common/image_steps.py", "* side / min", "* side // min", {"huggingface_image"}),
    ],
)
def test_a_changed_expression_changes_the_keys_of_those_kinds_that_use_it(
    room, before, file, old, new, changed
):
    edit(room / file, old, new)
    after = keys_of(room)
    assert {kind for kind in KINDS if after[kind] != before[kind]} == changed


def test_the_towers_of_clip_are_in_the_keys_of_their_encoders(room):
    before = [key_of(room, kind) for kind in ("clip_image", "clip_text")]
    edit(room.parent / "common/clip_network.py", "functional.normalize(", "functional.relu(")
    after = [key_of(room, kind) for kind in ("clip_image", "clip_text")]
    assert not set(before) & set(after)


@pytest.mark.parametrize(
    ("library", "changed"),
    [
        ("keras", {"keras"}),
        ("numpy", set(KINDS)),
        ("openvino", set(KINDS)),
        ("pillow", {"huggingface_image", "keras", "onnx"}),
        ("pydantic", set()),
        ("tokenizers", {"huggingface_text", "onnx_text"}),
        ("torch", {"huggingface_image", "huggingface_text", "keras"}),
        ("transformers", {"huggingface_image", "huggingface_text"}),
    ],
)
def test_another_version_of_a_library_changes_the_keys_of_those_that_use_it(
    room, before, monkeypatch, library, changed
):
    version = code_hash.version
    monkeypatch.setattr(
        code_hash, "version", lambda name: "0" if name == library else version(name)
    )
    after = keys_of(room)
    assert {kind for kind in KINDS if after[kind] != before[kind]} == changed


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_so_does_one_that_transformers_runs_where_it_is_installed(room, monkeypatch, library):
    distributions_of, version = code_hash.distributions_of, code_hash.version
    versions = {"timm": "1", "torchvision": "1"}
    monkeypatch.setattr(
        code_hash,
        "distributions_of",
        lambda name: (name,) if name in versions else distributions_of(name),
    )
    monkeypatch.setattr(code_hash, "version", lambda name: versions.get(name) or version(name))
    before = keys_of(room)
    versions[library] = "2"
    after = keys_of(room)
    changed = {kind for kind in KINDS if after[kind] != before[kind]}
    assert changed == {"huggingface_image", "huggingface_text"}


@pytest.fixture
def weights(tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "manifest.json"):
        (folder / name).write_bytes(b"0123456789")
    return folder


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_one_byte_of_the_weights_makes_another_key(weights, name):
    before = network_key(SETTINGS, weights)
    (weights / name).write_bytes(b"0123456780")
    assert network_key(SETTINGS, weights) != before


def test_where_weights_are_from_does_not_matter(weights):
    before = network_key(SETTINGS, weights)
    (weights / "manifest.json").write_bytes(b"another origin")
    assert network_key(SETTINGS, weights) == before


def test_what_a_desktop_leaves_beside_the_weights_does_not_matter(weights):
    before = network_key(SETTINGS, weights)
    (weights / ".DS_Store").write_bytes(b"icons")
    assert network_key(SETTINGS, weights) == before


def test_another_setting_makes_another_key(weights):
    found = [
        network_key(SETTINGS.model_copy(update=changes), weights)
        for changes in ({}, {"model": "lab/other"}, {"tta": ["identity", "hflip"]})
    ]
    assert len(set(found)) == 3


def test_a_prefix_makes_no_other_key_since_it_is_part_of_the_text(weights):
    plain = TextSettings(kind="huggingface_text", model="lab/model")
    prefixed = plain.model_copy(update={"prefix": "query: "})
    assert network_key(plain, weights) == network_key(prefixed, weights)
    assert plain.weights_request() == prefixed.weights_request()
    assert "prefix" not in plain.weights_request()


@pytest.mark.parametrize(
    "changes", [{"sha256": "0" * 64}, {"tokenizer_sha256": "0" * 64}, {"fields": ["name"]}]
)
def test_a_hash_that_checks_the_weights_and_a_choice_of_fields_make_no_other_key(weights, changes):
    plain = OnnxTextSettings(kind="onnx_text", path="a.onnx", tokenizer="tokenizer.json")
    changed = plain.model_copy(update=changes)
    assert network_key(plain, weights) == network_key(changed, weights)


def test_augmentation_counts_where_there_is_any(room, weights, monkeypatch):
    flipped = SETTINGS.model_copy(update={"tta": ["identity", "hflip"]})
    monkeypatch.setattr(
        fingerprint, "code_key", lambda modules: code_key(modules, top=room.parents[1])
    )
    before = [network_key(settings, weights) for settings in (SETTINGS, flipped)]
    edit(room / "augmentation.py", "ZOOM = 0.6", "ZOOM = 0.5")
    after = [network_key(settings, weights) for settings in (SETTINGS, flipped)]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_what_decodes_images_counts_for_a_kind_that_does_not_import_it(room, weights, monkeypatch):
    class Own(ImageEncoderSettings):
        kind: str = "mean_colour"

    (room / "mean_colour.py").write_text("import numpy as np\n")
    monkeypatch.setattr(
        fingerprint, "code_key", lambda modules: code_key(modules, top=room.parents[1])
    )
    before = network_key(Own(), weights)
    edit(room.parent / "common/images.py", "strict=False", "strict=True")
    assert network_key(Own(), weights) != before


@pytest.mark.parametrize(
    "changes",
    [{"name": "torch"}, {"precision": "bfloat16"}, {"precision": "int8"}, {"device": "mps"}],
)
def test_another_backend_makes_another_key(changes):
    assert vector_key("network", replace(BACKEND, **changes)) != vector_key("network", BACKEND)


def test_another_processor_makes_another_key(monkeypatch):
    before = vector_key("network", BACKEND)
    assert vector_key("network", BACKEND) == before
    monkeypatch.setattr(fingerprint, "processor", lambda: ["another"])
    assert vector_key("network", BACKEND) != before


def test_another_gpu_makes_another_key(monkeypatch):
    import torch

    keys = set()
    for name in ("H200", "L4"):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda name=name: name)
        keys.add(vector_key("network", Backend("torch", "float32", "cuda")))
    assert len(keys) == 2
