"""A file that was planted where a stage loads one runs no code.

Those for skops are in tests/classifiers/test_sklearn_model.py, those for networks that bring code
of their own in tests/encoders/test_huggingface_text.py.
"""

import ast
import base64
import gc
import json
import marshal
import math
import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.repository import TOP

from stages.classifiers.base.checkpoints import Checkpoint
from stages.common.errors import InputError
from stages.common.kv_store import SqliteCache
from stages.common.tables import PRODUCTS, read_table
from stages.params import load_params

STAGES = TOP / "stages"


class RunsWhenLoaded:
    def __reduce__(self):
        return os.system, ("touch it_ran",)


@pytest.fixture(scope="module", autouse=True)
def imported_keras() -> Iterator[None]:
    """Import Keras, whose objects are no garbage: it would look for it in all with each network."""
    from stages.common.keras_weights import import_keras

    import_keras()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not Path("it_ran").exists()


def test_no_module_has_a_loader_that_runs_code():
    loaders = {"pickle", "joblib", "marshal", "shelve", "dill", "cloudpickle"}
    processes = {"Parallel", "cpu_count", "delayed", "parallel_config"}  # of joblib: load nothing
    safe = {
        "trust_remote_code": False,
        "safe_mode": True,
        "allow_pickle": False,
        "weights_only": True,
    }
    files = sorted(STAGES.rglob("*.py"))
    assert len(files) > 20
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not loaders & {alias.name.partition(".")[0] for alias in node.names}, file
            elif isinstance(node, ast.ImportFrom):
                names = {alias.name for alias in node.names}
                if node.module != "joblib" or names - processes:
                    assert (node.module or "").partition(".")[0] not in loaders, file
            elif isinstance(node, ast.Name):
                assert node.id not in ("eval", "exec"), file
            elif isinstance(node, ast.keyword) and node.arg in safe:
                assert ast.literal_eval(node.value) is safe[node.arg], file


def test_a_checkpoint_with_code_is_damaged(capsys):
    import torch

    network: Any = None  # it has not come so far
    for content in (RunsWhenLoaded(), {"kept": RunsWhenLoaded(), "drawn": []}):
        torch.save(content, "one")
        assert Checkpoint(Path("one"), network, "cpu").read() is None
        assert "one is damaged, training starts anew" in capsys.readouterr().err


def test_a_table_whose_columns_claim_to_be_objects_is_a_table(tmp_path):
    claims = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(RunsWhenLoaded()),
    }
    fields = [field.with_metadata(claims) for field in PRODUCTS]
    rows = [pa.array(["x"]) for _ in fields]
    pq.write_table(pa.table(rows, schema=pa.schema(fields)), tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet", PRODUCTS).num_rows == 1


def test_a_pickle_in_a_table_s_place_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_bytes(pickle.dumps(RunsWhenLoaded()))
    with pytest.raises(InputError, match="no Parquet file"):
        read_table(tmp_path / "a.parquet", PRODUCTS)


def test_a_pickle_in_a_store_is_bytes(tmp_path):
    planted = pickle.dumps(RunsWhenLoaded())
    with SqliteCache(tmp_path / "store.sqlite") as store:
        store.put_many([("a", planted)])
        assert store.get_many(["a"]) == {"a": planted}


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!!python/name:os.system"])
def test_a_tag_in_params_yaml_is_refused(tmp_path, tag):
    (tmp_path / "params.yaml").write_text(f"seed: {tag} ['touch it_ran']\n")
    with pytest.raises(InputError, match="is no YAML"):
        load_params(tmp_path / "params.yaml")


def test_a_pickle_in_the_place_of_a_network_s_variables_is_refused(tmp_path):
    from stages.common.keras_weights import restore_variables

    (tmp_path / "model.safetensors").write_bytes(pickle.dumps(RunsWhenLoaded()))
    with pytest.raises(InputError, match="is no safetensors file"):
        restore_variables(SimpleNamespace(weights=[]), tmp_path / "model.safetensors")


def of_class(module, name, config):
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


def in_a_network(layer):
    first = of_class("keras.layers", "InputLayer", {"batch_shape": [None, 3]})
    return of_class("keras", "Sequential", {"name": "a", "layers": [first, layer]})


CODE = compile("__import__('os').system('touch it_ran')", "", "eval")
LAMBDA = {"code": base64.b64encode(marshal.dumps(CODE)).decode(), "defaults": None, "closure": None}
FUNCTION = {"class_name": "__lambda__", "config": LAMBDA}
SYSTEM = of_class("os", "function", "system") | {"registered_name": "system"}


@pytest.mark.parametrize(
    "planted",
    [
        of_class("os", "system", {"command": "touch it_ran"}),
        of_class("subprocess", "Popen", {"args": ["touch", "it_ran"]}),
        of_class("builtins", "function", "eval"),
        in_a_network(of_class("keras.layers", "Lambda", {"name": "b", "function": FUNCTION})),
        in_a_network(of_class("keras.layers", "Activation", {"activation": SYSTEM})),
    ],
    ids=["function", "process", "builtin", "lambda", "activation"],
)
def test_a_network_s_layers_run_nothing(tmp_path, planted):
    from stages.encoders import keras
    from stages.encoders.backends.base import Backend
    from stages.encoders.keras import Settings as KerasSettings

    (tmp_path / "model.json").write_text(json.dumps(planted))
    with pytest.raises(InputError, match=r"locate|deserializ"):
        keras.load(
            KerasSettings(kind="keras", model="MobileNet"),
            tmp_path,
            Backend("tensorflow", "float32"),
        )


# What stands where a configuration should: no JSON, none, no object, one that lacks everything.
NO_CONFIGURATIONS = {
    "pickle": pickle.dumps(RunsWhenLoaded()),
    "empty": b"",
    "list": b"[]",
    "number": b"5",
    "deep": b"[" * 100_000,
    "not as it is": b'{"model_type": "bert", "hidden_size": "x", "class_name": "Functional"}',
}
no_configuration = pytest.mark.parametrize(
    "planted", NO_CONFIGURATIONS.values(), ids=NO_CONFIGURATIONS
)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A folder with a network of Keras, small, as its encoder keeps it."""
    from stages.common.keras_weights import import_keras
    from stages.encoders.weights.keras import save_network

    keras = import_keras()
    folder = tmp_path_factory.mktemp("network")
    pool, dense = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5)
    save_network(keras.Sequential([keras.Input((224, 224, 3)), pool, dense]), folder)
    return folder


@pytest.fixture
def load_network(network, tmp_path):
    """Load a copy of the network, one file of which is another."""
    from stages.encoders import keras
    from stages.encoders.backends.base import Backend
    from stages.encoders.keras import Settings as KerasSettings

    def load(file=None, planted=b""):
        shutil.copytree(network, tmp_path / "network")
        if file:
            (tmp_path / "network" / file).write_bytes(planted)
        settings = KerasSettings(kind="keras", model="MobileNet")
        return keras.load(settings, tmp_path / "network", Backend("tensorflow", "float32"))

    return load


def test_a_network_in_its_own_place_is_loaded(load_network):
    assert load_network().n_features == 5


@no_configuration
def test_what_is_no_network_s_layers_is_refused(load_network, planted):
    with pytest.raises(InputError, match=r"model\.json holds no layers that Keras can build"):
        load_network("model.json", planted)


def test_a_network_s_layers_without_what_joins_them_are_refused(network, load_network):
    layers = json.loads((network / "model.json").read_text())
    del layers["config"]["layers"]
    with pytest.raises(InputError, match="holds no layers that Keras can build"):
        load_network("model.json", json.dumps(layers).encode())


def test_a_network_that_takes_no_pictures_is_refused(load_network):
    planted = in_a_network(of_class("keras.layers", "Dense", {"units": 2}))
    with pytest.raises(InputError, match=r"holds a network from \(None, 3\) to \(None, 2\)"):
        load_network("model.json", json.dumps(planted).encode())


@no_configuration
def test_what_is_no_file_of_variables_is_refused(load_network, planted):
    with pytest.raises(InputError, match="is no safetensors file"):
        load_network("model.safetensors", planted)


@pytest.mark.parametrize(("kind", "size"), [("I32", 4), ("BF16", 2), ("F8_E4M3", 1)])
def test_variables_of_another_type_are_refused(network, load_network, kind, size):
    planted = variables_as(kind, size, (network / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match=r"holds no .* of shape .* in float32|is no safetensors"):
        load_network("model.safetensors", planted)


def variables_as(kind, size, content):
    """Return a safetensors file of zeros of a type of `size` bytes, by the names of another."""
    length = int.from_bytes(content[:8], "little")
    header, end = {}, 0
    for name, entry in json.loads(content[8 : 8 + length]).items():
        start, end = end, end + size * math.prod(entry["shape"])
        header[name] = {"dtype": kind, "shape": entry["shape"], "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
@no_configuration
def test_what_is_no_file_of_a_network_of_the_hub_is_refused(tmp_path, file, planted):
    from stages.encoders import huggingface_text
    from stages.encoders.backends.base import Backend
    from stages.encoders.weights.manifest import package_folder

    settings = load_params(STAGES.parent / "params.yaml").encoders["minilm"]
    for source in package_folder(settings.package, "model.safetensors").glob("*.*"):
        shutil.copyfile(source, tmp_path / source.name)
    (tmp_path / file).write_bytes(planted)
    with pytest.raises(InputError, match=f"cannot load {tmp_path}"):
        huggingface_text.load(settings, tmp_path, Backend("torch", "float32"))


@no_configuration
def test_what_is_no_manifest_is_refused(tmp_path, planted):
    from stages.encoders.weights.manifest import MANIFEST_FILE, read_manifest

    (tmp_path / MANIFEST_FILE).write_bytes(planted)
    with pytest.raises(InputError, match=r"is no manifest: `dvc repro -f` writes it anew"):
        read_manifest(tmp_path)
