"""Image encoders of the hub give the vectors that Transformers gives."""

import json
from importlib.util import find_spec

import numpy as np
import pytest

from stages.common.errors import InputError
from stages.common.images import resize
from stages.encoders import huggingface_image
from stages.encoders.backends.base import Backend
from stages.encoders.huggingface_image import Settings as ImageSettings
from stages.encoders.weights import huggingface as weights
from stages.encoders.weights.manifest import digest
from stages.encoders.weights.obtain import obtain_weights
from stages.encoders.weights.unreachable import Unreachable
from stages.params import load_params

FLOAT32 = Backend("openvino", "float32")
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZES = {"hidden_sizes": [8, 16, 24, 40]}
NETWORKS = {
    "convnextv2": {**SIZES, "depths": [1, 1, 2, 1]},
    "vit": {**SMALL, "intermediate_size": 64, "image_size": 64, "initializer_range": 0.3},
    "dinov2": {**SMALL, "image_size": 64, "patch_size": 16, "initializer_range": 0.3},
    "resnet": {**SIZES, "embedding_size": 8, "depths": [1, 1, 1, 1]},
    "dinov3_vit": {**SMALL, "intermediate_size": 64, "num_register_tokens": 4},  # as published ones
}


@pytest.fixture(scope="module")
def transformers():
    """Transformers, imported when a test needs it: this takes seconds."""
    import transformers

    return transformers


def settings_for(folder, **changes):
    return ImageSettings(kind="huggingface_image", **{"model": "tiny", "path": folder, **changes})


def network_of(architecture):
    """Build a small network of an architecture, with random weights."""
    from transformers import AutoConfig, AutoModel

    return AutoModel.from_config(AutoConfig.for_model(architecture, **NETWORKS[architecture]))


def save_processor(folder):
    from transformers import ViTImageProcessorPil

    ViTImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)


def encoded(encoder, images):
    rows = encoder.encode(images)
    assert rows.dtype == np.float32
    assert rows.shape == (len(images), encoder.n_features)
    return rows


def eager(folder, images):
    """Run the network as its users do, a few images at a time."""
    import torch
    from transformers import AutoImageProcessor, AutoModel

    pixels = AutoImageProcessor.from_pretrained(folder)(images, return_tensors="pt").pixel_values
    network = AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        return torch.cat([network(few).pooler_output for few in pixels.split(4)]).numpy()


def agree(found, reference):
    """Say whether vectors point the same way, seen from their mean: random ones lie close."""
    centre = reference.mean(axis=0)
    found, reference = found - centre, reference - centre
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(reference, axis=1)
    return ((found * reference).sum(axis=1) / norms).min() >= 0.9999


def cosines(rows, others):
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(others, axis=1)
    return (rows * others).sum(axis=1) / norms


@pytest.fixture(scope="module")
def unreachable():
    """The hub as one finds it without a network."""

    def no_answer(model, _, remedy):
        raise Unreachable(model, "the hub does not answer: no route to host", remedy)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "_snapshot", no_answer)
        yield


@pytest.fixture(scope="module")
def convnextv2(tmp_path_factory, unreachable):
    """ConvNeXt V2 as params.yaml names it, with random weights: its folder, the encoder."""
    folder = tmp_path_factory.mktemp("convnextv2")
    settings = load_params().encoders["convnextv2"]
    assert huggingface_image.draw(settings, folder, 42).kind == "random"
    return folder, huggingface_image.load(settings, folder, FLOAT32)


@pytest.fixture(scope="module")
def reference(convnextv2, images):
    """What Transformers makes of the images."""
    return eager(convnextv2[0], images)


def test_convnextv2_is_transformers(convnextv2, images, reference):
    encoder = convnextv2[1]
    assert encoder.n_features == 768
    found = encoded(encoder, images)
    assert agree(found, reference)
    assert cosines(found, reference).min() >= 0.999999
    assert np.allclose(found, reference, rtol=1e-3, atol=1e-3)
    assert not agree(np.roll(found, 1, axis=0), reference)


def test_convnextv2_is_transformers_on_real_images(convnextv2, shop_images):
    folder, encoder = convnextv2
    assert len(shop_images) == 64
    assert agree(encoded(encoder, shop_images), eager(folder, shop_images))


def test_convnextv2_in_bfloat16_points_where_transformers_does(
    convnextv2, images, reference, bfloat16
):
    folder = convnextv2[0]
    settings = load_params().encoders["convnextv2"]
    found = encoded(huggingface_image.load(settings, folder, bfloat16), images)
    assert 0.9999 <= cosines(found, reference).min() < 0.9999999


def test_pytorch_itself_runs_it_as_a_reference(convnextv2, images, reference):
    folder, settings = convnextv2[0], load_params().encoders["convnextv2"]
    encoder = huggingface_image.load(settings, folder, Backend("torch", "float32"))
    found = encoded(encoder, images[:3])
    assert np.allclose(found, reference[:3], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pads", [False, True])
def test_batches_as_a_gpu_has_them_give_transformers_vectors(tmp_path, images, transformers, pads):
    network_of("convnextv2").save_pretrained(tmp_path)
    size, padded = {"height": 64, "width": 64}, {"height": 96, "width": 96}
    pad = {"do_pad": True, "pad_size": padded} if pads else {}
    transformers.ViTImageProcessorPil(size=size, **pad).save_pretrained(tmp_path)
    encoder = huggingface_image.torch_encoder(tmp_path, Backend("torch", "float32"), 4)
    found = encoded(encoder, images)
    assert np.allclose(found, eager(tmp_path, images), rtol=1e-4, atol=1e-5)
    assert np.array_equal(encoded(encoder, images[:1]), found[:1])


@pytest.fixture(scope="module", params=sorted(NETWORKS))
def small(request, tmp_path_factory, transformers):
    """A small network of one kind: its folder, the encoder."""
    folder = tmp_path_factory.mktemp(request.param)
    transformers.set_seed(1)
    network_of(request.param).save_pretrained(folder)
    save_processor(folder)
    return folder, huggingface_image.load(settings_for(folder), folder, FLOAT32)


def test_other_networks_are_transformers_too(small, images):
    folder, encoder = small
    found = encoded(encoder, images)
    reference = eager(folder, images).reshape(len(images), -1)
    assert agree(found, reference)
    assert np.allclose(found, reference, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("backend", ["float32", "bfloat16"], indirect=True)
def test_the_whole_network_too_gives_a_image_one_vector(convnextv2, images, backend):
    settings = load_params().encoders["convnextv2"]
    encoder = huggingface_image.load(settings, convnextv2[0], backend)
    rows = encoded(encoder, images[:4])
    assert np.array_equal(encoded(encoder, images[3::-1]), rows[::-1])
    assert np.array_equal(encoded(encoder, images[3:4]), rows[3:4])


def test_a_network_without_a_pooler_s_weights_is_refused(tmp_path, transformers):
    config = transformers.ViTConfig(**NETWORKS["vit"])
    transformers.ViTForImageClassification(config).save_pretrained(
        tmp_path
    )  # as many on the hub are
    save_processor(tmp_path)
    with pytest.raises(InputError, match=r"lack pooler\.dense\.bias"):
        huggingface_image.load(settings_for(tmp_path), tmp_path, FLOAT32)


def test_a_network_without_a_pooled_output_is_refused(tmp_path, transformers):
    config = transformers.SegformerConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1])
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    save_processor(tmp_path)
    with pytest.raises(InputError, match="has no pooled output"):
        huggingface_image.load(settings_for(tmp_path), tmp_path, FLOAT32)


@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_a_network_that_wants_a_text_as_well_is_refused(tmp_path, transformers, backend):
    text, image = ({**SMALL, "intermediate_size": 64} for _ in range(2))
    sizes = {"text_config": text | {"vocab_size": 99}, "vision_config": image | {"image_size": 64}}
    transformers.AutoModel.from_config(
        transformers.AutoConfig.for_model("siglip", **sizes)
    ).save_pretrained(tmp_path)
    save_processor(tmp_path)
    with pytest.raises(InputError, match=r"makes no vector of an image alone .* choose another"):
        huggingface_image.load(settings_for(tmp_path), tmp_path, Backend(backend, "float32"))


def save_timm_config(folder):
    """Write the configuration of a network as timm has them on the hub."""
    config = {"architecture": "resnet18", "num_classes": 1000, "num_features": 512}
    pretrained = {"input_size": [3, 64, 64], "crop_pct": 0.9, "interpolation": "bicubic"}
    (folder / "config.json").write_text(json.dumps(config | {"pretrained_cfg": pretrained}))


def test_a_network_of_timm_needs_two_packages_more(tmp_path):
    if find_spec("timm"):
        pytest.skip("timm is installed")
    save_timm_config(tmp_path)
    with pytest.raises(InputError, match="of timm: install the packages timm and torchvision, tor"):
        huggingface_image.load(settings_for(tmp_path), tmp_path, FLOAT32)


def test_a_network_of_timm_has_timm_s_vectors(tmp_path, images):
    timm = pytest.importorskip("timm", reason="timm is not installed", exc_type=ImportError)
    import torch
    from safetensors.torch import save_file

    save_timm_config(tmp_path)
    network = timm.create_model("resnet18", num_classes=0).eval()
    save_file(network.state_dict(), tmp_path / "model.safetensors", {"format": "pt"})
    found = encoded(huggingface_image.load(settings_for(tmp_path), tmp_path, FLOAT32), images)
    transform = timm.data.create_transform((3, 64, 64), crop_pct=0.9, interpolation="bicubic")
    with torch.inference_mode():
        wanted = network(torch.stack(list(map(transform, images)))).numpy()
    assert np.allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_a_folder_without_a_processor_is_refused(tmp_path):
    network_of("resnet").save_pretrained(tmp_path)
    with pytest.raises(InputError, match="AutoImageProcessor cannot load"):
        huggingface_image.load(settings_for(tmp_path), tmp_path, FLOAT32)


def test_random_weights_depend_on_the_seed_alone(tmp_path, unreachable, capsys):
    settings = settings_for(None, architecture="mobilenet_v2", model="google/mobilenet_v2")
    folders = [tmp_path / name for name in ("first", "again", "other")]
    manifests = []
    for folder, seed in zip(folders, (5, 5, 6), strict=True):
        manifests.append(obtain_weights("mine", settings, folder, "auto", seed))
        warning = capsys.readouterr().err
        assert "RANDOM WEIGHTS for google/mobilenet_v2" in warning
        assert "the hub does not answer: no route to host" in warning.replace("\n", " ")
    first, again, other = manifests
    assert (first.kind, first.origin, first.revision) == ("random", "seed 5", None)
    assert first.sha256 == digest(folders[0], "model.safetensors")
    assert first == again
    assert first.sha256 != other.sha256
    names = sorted(file.name for file in folders[0].iterdir())
    assert [file.name for file in sorted(folders[1].iterdir())] == names
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


@pytest.mark.parametrize(("policy", "architecture"), [("pretrained", "resnet"), ("auto", None)])
def test_nothing_is_drawn_unless_it_was_asked_for(tmp_path, unreachable, policy, architecture):
    settings = settings_for(None, architecture=architecture)
    with pytest.raises(InputError, match=r"no route to host\): connect .* `weights: auto`"):
        obtain_weights("mine", settings, tmp_path / "weights", policy, 1)
    assert list(tmp_path.iterdir()) == []


def test_an_architecture_that_is_none_is_named(tmp_path, unreachable):
    with pytest.raises(InputError, match="knows no architecture 'convnextv99'"):
        huggingface_image.draw(settings_for(None, architecture="convnextv99"), tmp_path, 1)


def test_an_architecture_of_a_package_that_is_missing_is_named(tmp_path, unreachable):
    if find_spec("natten"):
        pytest.skip("natten is installed")
    with pytest.raises(InputError, match=r"architecture dinat needs a package .*natten.*install"):
        huggingface_image.draw(settings_for(None, architecture="dinat"), tmp_path, 1)


def test_a_path_is_used_and_its_hash_checked(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    network_of("resnet").save_pretrained(here)
    there.mkdir()
    manifest = huggingface_image.fetch(settings_for(here), there)
    assert manifest.kind == "pretrained"
    assert (manifest.origin, manifest.revision) == (str(here), None)
    assert manifest.sha256 == digest(here, "model.safetensors")
    right = settings_for(here, sha256=manifest.sha256)
    assert huggingface_image.fetch(right, there) == manifest
    with pytest.raises(InputError, match="do not use them"):
        huggingface_image.fetch(settings_for(here, sha256="0" * 64), there)


def test_weights_in_several_files_are_one_network(tmp_path, images):
    whole, parts, copy = tmp_path / "whole", tmp_path / "parts", tmp_path / "copy"
    network = network_of("convnextv2")
    network.save_pretrained(whole)
    network.save_pretrained(parts, max_shard_size="50KB")
    assert len(list(parts.glob("*.safetensors"))) > 1
    for folder in (whole, parts):
        save_processor(folder)
    copy.mkdir()
    manifest = huggingface_image.fetch(settings_for(parts), copy)
    assert manifest.sha256 == digest(parts, "model*.safetensors")
    found = encoded(huggingface_image.load(settings_for(parts), copy, FLOAT32), images)
    assert np.array_equal(
        found, encoded(huggingface_image.load(settings_for(whole), whole, FLOAT32), images)
    )


@pytest.mark.parametrize("resizes", [True, False])
def test_images_of_any_stored_size_are_resized_to_what_the_network_takes(
    tmp_path, images, resizes, transformers
):
    network_of("convnextv2").save_pretrained(tmp_path)
    size = {"height": 64, "width": 64}
    transformers.ViTImageProcessorPil(size=size, do_resize=resizes).save_pretrained(tmp_path)
    encoder = huggingface_image.load(settings_for(tmp_path), tmp_path, FLOAT32)
    large = [resize(image, 320, 320) for image in images[:3]]
    found = encoded(encoder, large)
    side = 64 if resizes else 224
    fit = [resize(image, side, side) for image in large]
    if resizes:
        assert np.array_equal(found, encoded(encoder, large[::-1])[::-1])
        assert cosines(found, encoded(encoder, fit)).min() > 0.99
    else:
        assert np.array_equal(found, encoded(encoder, fit))


@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_dinov3_as_it_is_published_needs_no_torchvision(tmp_path, images, transformers, backend):
    import torch

    transformers.set_seed(1)
    network = network_of("dinov3_vit").eval()
    network.save_pretrained(tmp_path)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    processor = {
        "image_processor_type": "DINOv3ViTImageProcessorFast",
        **{"do_center_crop": None, "crop_size": None, "do_resize": True, "resample": 2},
        **{"size": {"height": 224, "width": 224}, "do_rescale": True, "rescale_factor": 1 / 255},
        **{"do_normalize": True, "image_mean": mean, "image_std": std},
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    encoder = huggingface_image.load(settings_for(tmp_path), tmp_path, Backend(backend, "float32"))
    fit = np.stack([resize(image, 224, 224) for image in images])
    pixels = ((fit / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    with torch.inference_mode():
        wanted = network(torch.tensor(pixels)).pooler_output.numpy()
    assert agree(encoded(encoder, list(fit)), wanted)


def test_a_processor_that_pads_is_still_its_own(tmp_path, images, transformers):
    network_of("convnextv2").save_pretrained(tmp_path)
    size, padded = {"height": 64, "width": 64}, {"height": 96, "width": 96}
    transformers.ViTImageProcessorPil(size=size, do_pad=True, pad_size=padded).save_pretrained(
        tmp_path
    )
    for _ in range(2):  # converted, and as it was kept
        encoder = huggingface_image.load(settings_for(tmp_path), tmp_path, FLOAT32)
        assert agree(encoded(encoder, images), eager(tmp_path, images))
