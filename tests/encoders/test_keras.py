"""Networks of Keras Applications give the vectors that Keras gives."""

import gc
import hashlib
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from zipfile import ZipFile

import h5py
import numpy as np
import pytest
from helpers.repository import NOWHERE, TOP

from stages.common.errors import InputError
from stages.common.files import sha256_of
from stages.common.images import resize
from stages.common.keras_network import WEIGHTS_FILE
from stages.common.keras_weights import import_keras
from stages.encoders import keras as kind
from stages.encoders.backends.base import Backend
from stages.encoders.keras import Settings as KerasSettings
from stages.encoders.weights.keras import save_network
from stages.encoders.weights.obtain import obtain_weights

FLOAT32 = Backend("openvino", "float32")
SMALL = "EfficientNetB0"  # cut down to one block, as EfficientNetV2B0 is
BLOCK = {"kernel_size": 3, "filters_in": 32, "filters_out": 24, "expand_ratio": 1, "se_ratio": 0.25}
SMALL_FILE = "efficientnetb0_notop.h5"


@pytest.fixture(scope="module")
def keras():
    """Keras, imported when a test needs it: this takes seconds."""
    module = import_keras()
    gc.freeze()  # Keras looks for garbage whenever it builds a network: not in all that is imported
    yield module
    gc.unfreeze()


@pytest.fixture(scope="module")
def efficientnet(keras):
    return keras.src.applications.efficientnet


def settings_for(model, **changes):
    return KerasSettings(kind="keras", model=model, **changes)


def build(model, weights=None):
    builder = getattr(import_keras().applications, model)
    return builder(weights=weights, include_top=False, pooling="avg", input_shape=(224, 224, 3))


def trained(model, preprocess, images):
    """Build a network with random weights that tells images apart, as a trained one does.

    Its normalisations have means and variances of the images, not of nothing.
    """
    keras = import_keras()
    keras.utils.set_random_seed(1)
    network = build(model)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(preprocess(pixels_of(images)), training=True)
    return network


def save(network, path):
    """Write weights in the format of Keras' store."""
    with h5py.File(path, "w") as file:
        import_keras().src.legacy.saving.legacy_h5_format.save_weights_to_hdf5_group(file, network)


def encoded(encoder, images):
    rows = encoder.encode(images)
    assert rows.dtype == np.float32
    assert rows.shape == (len(images), encoder.n_features)
    return rows


def pixels_of(images):
    return np.stack([np.asarray(image) for image in images]).astype(np.float32)


def predicted(network, preprocess, images):
    """Run a network as Keras' users do, a few images at a time."""
    batches = (images[at : at + 16] for at in range(0, len(images), 16))
    return np.concatenate(
        [network(preprocess(pixels_of(batch)), training=False).numpy() for batch in batches]
    )


def agree(found, reference):
    """Say whether vectors point the same way, seen from their mean: random ones lie close."""
    centre = reference.mean(axis=0)
    found, reference = found - centre, reference - centre
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(reference, axis=1)
    return ((found * reference).sum(axis=1) / norms).min() >= 0.9999


def cosines(rows, others):
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(others, axis=1)
    return (rows * others).sum(axis=1) / norms


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def fetched(folder, settings, policy="pretrained", seed=1):
    """Fetch into a new folder: what the manifest says."""
    return obtain_weights("mine", settings, folder, policy, seed)


@pytest.fixture(autouse=True)
def no_store(tmp_path, monkeypatch, keras, efficientnet):
    """An empty folder for what Keras downloads, and a store that does not answer."""
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(keras.src.backend.config, "_KERAS_DIR", str(tmp_path / "home"))
    monkeypatch.setattr(efficientnet, "BASE_WEIGHTS_PATH", f"{NOWHERE}/")


@pytest.fixture(autouse=True)
def small(monkeypatch, efficientnet):
    """Have Keras build EfficientNets of one block."""
    block = {**BLOCK, "repeats": 1, "id_skip": True, "strides": 4}
    monkeypatch.setattr(efficientnet, "DEFAULT_BLOCKS_ARGS", [block])


@pytest.fixture
def store(tmp_path, monkeypatch, efficientnet):
    """Keras' store on loopback: the folder that it serves."""
    folder = tmp_path / "store"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(efficientnet, "BASE_WEIGHTS_PATH", url)
        yield folder
        server.shutdown()


def accept(monkeypatch, table, name, file):
    """Have Keras take `file` for the one that it published."""
    md5 = hashlib.md5(file.read_bytes()).hexdigest()
    monkeypatch.setitem(table, name, (table[name][0], md5))


@pytest.fixture(scope="module")
def resnet50(keras, tmp_path_factory, images):
    """ResNet50 as params.yaml names it: the network, its weights in a file, the encoder."""
    file = tmp_path_factory.mktemp("resnet50") / "resnet50.h5"
    network = trained("ResNet50", keras.applications.resnet50.preprocess_input, images[:5])
    save(network, file)
    settings = settings_for("ResNet50", path=file)
    fetched(file.parent / "weights", settings)
    return network, file, kind.load(settings, file.parent / "weights", FLOAT32)


@pytest.fixture(scope="module")
def reference(keras, resnet50, images):
    """What Keras makes of the images."""
    return predicted(resnet50[0], keras.applications.resnet50.preprocess_input, images)


def test_resnet50_is_keras(resnet50, images, reference):
    network, _, encoder = resnet50
    assert encoder.n_features == 2048
    found = encoded(encoder, images)
    assert agree(found, reference)
    assert cosines(found, reference).min() >= 0.999999
    assert np.allclose(found, reference, rtol=1e-3, atol=1e-4 * np.abs(reference).max())
    assert not agree(found[:5], predicted(network, lambda pixels: pixels, images[:5]))


def test_resnet50_is_keras_on_real_images(keras, resnet50, shop_images):
    network, _, encoder = resnet50
    assert len(shop_images) == 64
    preprocess = keras.applications.resnet50.preprocess_input
    assert agree(encoded(encoder, shop_images), predicted(network, preprocess, shop_images))


def test_resnet50_in_bfloat16_points_where_keras_does(keras, tmp_path, images, bfloat16):
    keras.utils.set_random_seed(42)
    network = build("ResNet50")
    folder = tmp_path / "weights"
    folder.mkdir()
    save_network(network, folder)
    found = encoded(kind.load(settings_for("ResNet50"), folder, bfloat16), images)
    reference = predicted(network, keras.applications.resnet50.preprocess_input, images)
    assert cosines(found, reference).min() >= 0.9999
    assert not np.allclose(found, reference, rtol=1e-4, atol=1e-5 * np.abs(reference).max())


def test_tensorflow_itself_runs_it_as_a_reference(resnet50, images, reference):
    file = resnet50[1]
    backend = Backend("tensorflow", "float32")
    encoder = kind.load(settings_for("ResNet50", path=file), file.parent / "weights", backend)
    found, reference = encoded(encoder, images[:3]), reference[:3]
    assert np.allclose(found, reference, rtol=1e-4, atol=1e-5 * np.abs(reference).max())


ON_PYTORCH = """
import sys
from pathlib import Path
import numpy as np
from stages.encoders import keras as kind
from stages.encoders.backends.base import Backend

place = Path(sys.argv[1])
images = list(np.load(place / "images.npy"))
for model, folder in zip(sys.argv[2::2], sys.argv[3::2], strict=True):
    settings = kind.Settings(kind="keras", model=model)
    encoder = kind.load(settings, Path(folder), Backend("torch", "float32"))
    np.save(place / f"{model}.npy", encoder.encode(images))
assert "tensorflow" not in sys.modules
"""


def test_pytorch_runs_networks_without_tensorflow_as_on_a_gpu(resnet50, tmp_path, images):
    _, file, encoder = resnet50
    folders = {"ResNet50": file.parent / "weights", SMALL: tmp_path / "weights"}
    fetched(folders[SMALL], settings_for(SMALL), "auto")
    encoders = {"ResNet50": encoder, SMALL: kind.load(settings_for(SMALL), folders[SMALL], FLOAT32)}
    np.save(tmp_path / "images.npy", np.stack([resize(image, 224, 224) for image in images[:3]]))
    # A process of its own: Keras is on one framework in each.
    command = [sys.executable, "-c", ON_PYTORCH, tmp_path, *chain(*folders.items())]
    subprocess.run(command, cwd=TOP, check=True)
    for model, encoder in encoders.items():
        wanted = encoded(encoder, images[:3])
        found = np.load(tmp_path / f"{model}.npy")
        assert np.allclose(found, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max()), model


def test_keras_is_on_one_framework_in_a_process(resnet50):
    file = resnet50[1]
    with pytest.raises(RuntimeError, match="Keras is on tensorflow in this process"):
        kind.load(settings_for("ResNet50"), file.parent / "weights", Backend("torch", "float32"))


@pytest.mark.parametrize("backend", ["float32", "bfloat16"], indirect=True)
def test_an_image_has_the_same_vector_whatever_is_around_it(resnet50, images, backend):
    file = resnet50[1]
    encoder = kind.load(settings_for("ResNet50", path=file), file.parent / "weights", backend)
    rows = encoded(encoder, images[:4])
    assert np.array_equal(encoded(encoder, images[3::-1]), rows[::-1])
    assert np.array_equal(encoded(encoder, images[2:3]), rows[2:3])


def test_a_family_with_its_preprocessing_in_the_network(keras, tmp_path, images, monkeypatch):
    blocks = keras.src.applications.efficientnet_v2.DEFAULT_BLOCKS_ARGS
    block = {**blocks["efficientnetv2-b0"][1], "num_repeat": 1, "strides": 4}
    monkeypatch.setitem(blocks, "efficientnetv2-b0", [block])
    images, file = images[:5], tmp_path / "own.h5"
    preprocess = keras.applications.efficientnet_v2.preprocess_input
    network = trained("EfficientNetV2B0", preprocess, images)
    save(network, file)
    settings = settings_for("EfficientNetV2B0", path=file)
    fetched(tmp_path / "weights", settings)
    found = encoded(kind.load(settings, tmp_path / "weights", FLOAT32), images)
    assert agree(found, predicted(network, preprocess, images))


def test_weights_come_from_the_store_and_are_kept(
    keras, efficientnet, tmp_path, store, monkeypatch, images
):
    images, preprocess = images[:5], keras.applications.efficientnet.preprocess_input
    network = trained(SMALL, preprocess, images)
    save(network, store / SMALL_FILE)
    accept(monkeypatch, efficientnet.WEIGHTS_HASHES, "b0", store / SMALL_FILE)
    settings = settings_for(SMALL)
    manifest = fetched(tmp_path / "first", settings)
    assert (manifest.kind, manifest.revision) == ("pretrained", None)
    assert manifest.origin == "keras.applications.EfficientNetB0, imagenet"
    assert manifest.sha256 == sha256_of(tmp_path / "first" / WEIGHTS_FILE)
    found = encoded(kind.load(settings, tmp_path / "first", FLOAT32), images)
    # With its weights for ImageNet, EfficientNet has a layer that it lacks with others.
    assert agree(found, predicted(build(SMALL, "imagenet"), preprocess, images))
    assert not agree(found, predicted(network, preprocess, images))

    monkeypatch.setattr(efficientnet, "BASE_WEIGHTS_PATH", f"{NOWHERE}/")
    pinned = settings_for(SMALL, sha256=manifest.sha256)
    assert fetched(tmp_path / "again", pinned) == manifest
    assert contents(tmp_path / "again") == contents(tmp_path / "first")
    with pytest.raises(
        InputError, match=r"from keras\.applications\.EfficientNetB0, imagenet have"
    ):
        fetched(tmp_path / "wrong", settings_for(SMALL, sha256="0" * 64), "auto")


def test_what_keras_did_not_publish_is_refused(tmp_path, store):
    (store / SMALL_FILE).write_bytes(b"<html>Sign in to the network of this hotel</html>")
    with pytest.raises(InputError, match="weights of EfficientNetB0 is not what it published"):
        fetched(tmp_path / "weights", settings_for(SMALL), "auto")


@pytest.mark.parametrize("model", ["InceptionV3", "Xception"])
@pytest.mark.parametrize("has_path", [True, False])
def test_images_smaller_than_a_network_takes_are_refused(tmp_path, model, has_path):
    file = tmp_path / "mine.h5"
    file.write_text("any weights")
    settings = settings_for(model, input_size=64, **({"path": file} if has_path else {}))
    least = {"InceptionV3": 75, "Xception": 71}[model]
    said = f"^{model} does not take an input_size of 64: Input size must be at least {least}x"
    with pytest.raises(InputError, match=said):
        fetched(tmp_path / "weights", settings, "auto")


@pytest.mark.parametrize("answers", [True, False])
def test_pretrained_stops_without_the_store(tmp_path, request, answers):
    if answers:
        request.getfixturevalue("store")  # which has no such file
    with pytest.raises(InputError, match=r"of EfficientNetB0 cannot be had .*set `weights: auto`"):
        fetched(tmp_path / "weights", settings_for(SMALL))
    assert not (tmp_path / "weights").exists()


def test_random_weights_depend_on_the_seed_alone(tmp_path, capsys):
    settings = settings_for(SMALL)
    manifests = [
        fetched(tmp_path / name, settings, "auto", seed)
        for name, seed in (("first", 5), ("again", 5), ("other", 6))
    ]
    warning = " ".join(capsys.readouterr().err.split())
    assert warning.count("RANDOM WEIGHTS for EfficientNetB0") == 3
    assert "Connection refused" in warning
    first, again, other = manifests
    assert (first.kind, first.origin, first.revision) == ("random", "seed 5", None)
    assert first.sha256 == sha256_of(tmp_path / "first" / WEIGHTS_FILE)
    assert first == again
    assert contents(tmp_path / "first") == contents(tmp_path / "again")
    assert other.sha256 != first.sha256


def test_a_path_is_used_and_its_own_hash_checked(tmp_path):
    file = tmp_path / "mine.weights.h5"
    build(SMALL).save_weights(file)
    right = settings_for(SMALL, path=file, sha256=sha256_of(file))
    manifest = fetched(tmp_path / "weights", right)
    assert (manifest.kind, manifest.revision) == ("pretrained", None)
    assert (manifest.origin, manifest.sha256) == (str(file), sha256_of(file))
    wrong = settings_for(SMALL, path=file, sha256="0" * 64)
    with pytest.raises(InputError, match="do not use them"):
        fetched(tmp_path / "wrong", wrong, "auto")
    with pytest.raises(InputError, match="holds no weights of EfficientNetB1 without its top"):
        fetched(tmp_path / "other", settings_for("EfficientNetB1", path=file), "auto")


def test_a_damaged_file_in_keras_own_format_is_refused(tmp_path):
    whole, half, other = (tmp_path / f"{name}.keras" for name in ("whole", "half", "other"))
    build(SMALL).save(whole)
    half.write_bytes(whole.read_bytes()[:-1000])
    with ZipFile(other, "w") as archive:
        archive.writestr("a", "b")
    assert fetched(tmp_path / "weights", settings_for(SMALL, path=whole)).kind == "pretrained"
    for file in (half, other):
        with pytest.raises(InputError, match=rf"{file.name} holds no weights of EfficientNetB0"):
            fetched(tmp_path / "none", settings_for(SMALL, path=file), "auto")


def test_a_path_that_leads_nowhere_or_elsewhere_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.h5 of EfficientNetB0 are not there"):
        fetched(tmp_path / "none", settings_for(SMALL, path=tmp_path / "none.h5"), "auto")
    (tmp_path / "text.h5").write_text("no weights")
    with pytest.raises(InputError, match=r"text\.h5 holds no weights of EfficientNetB0"):
        fetched(tmp_path / "text", settings_for(SMALL, path=tmp_path / "text.h5"), "auto")


def test_an_unknown_network_is_refused_and_known_ones_named(tmp_path, capsys):
    with pytest.raises(InputError, match=r"has no ResNet49; it has .*ResNet50"):
        fetched(tmp_path / "weights", settings_for("ResNet49"), "auto")
    assert capsys.readouterr().err == ""


def test_a_network_of_another_input_size_takes_images_of_any_size(tmp_path, images):
    settings = settings_for(SMALL, input_size=96)
    drawn = fetched(tmp_path / "weights", settings, "auto")
    assert drawn.kind == "random"
    encoder = kind.load(settings, tmp_path / "weights", FLOAT32)
    small = [resize(image, 96, 96) for image in images[:3]]
    assert np.array_equal(encoded(encoder, images[:3]), encoded(encoder, small))
    again = fetched(tmp_path / "again", settings_for(SMALL), "auto")
    assert again.sha256 == drawn.sha256
    with pytest.raises(InputError, match=r"from \(None, 96, 96, 3\) to .*, not of images of \(224"):
        kind.load(settings_for(SMALL), tmp_path / "weights", FLOAT32)
