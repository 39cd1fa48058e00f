"""What an encoder cannot read, tell apart or take whole is counted."""

import sqlite3

import numpy as np
import pytest
from scipy.sparse import csr_array
from tokenizers import Tokenizer, models, pre_tokenizers

from stages.common.errors import InputError
from stages.encoders.hashed_ngrams import HashedNgrams
from stages.encoders.hashed_ngrams import Settings as NgramSettings
from stages.encoders.huggingface_text import Settings as TextSettings
from stages.encoders.text_counts import TextCounter, TextCounts, load_tokenizer

THAI = ["กาต้มน้ำรุ่นก", "โคมไฟตั้งโต๊ะ", "เก้าอี้ไม้สัก"]
NGRAMS = NgramSettings(kind="hashed_ngrams")


def settings(**changes):
    return TextSettings(kind="huggingface_text", model="tiny", **changes)


def wordpiece():
    words = ["[UNK]", "a", "red", "lamp", "kettle", "sony"]
    model = models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    return Tokenizer(model)


def unigram():
    words = ["<unk>", "▁a", "▁red", "▁lamp", "▁kettle", "▁sony"]
    return Tokenizer(models.Unigram([(word, -float(i)) for i, word in enumerate(words)], 0, False))


def counts(folder, texts, tokenizer=None, vectors=None, **changes):
    tokenizer = tokenizer or wordpiece()
    is_wordpiece = isinstance(tokenizer.model, models.WordPiece)
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Whitespace() if is_wordpiece else pre_tokenizers.Metaspace()
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    counter = TextCounter(settings(**changes), folder)
    if vectors is None:
        vectors = np.arange(len(texts) * 2, dtype=np.float32).reshape(-1, 2)
    counter.add(texts, vectors)
    return counter.counts()


@pytest.mark.parametrize("tokenizer", [wordpiece, unigram])
def test_a_text_with_more_than_a_tenth_of_unknown_tokens_is_unreadable(tmp_path, tokenizer):
    readable = " ".join(["a red lamp"] * 4)
    texts = [readable, f"{readable} 灯", f"{readable} 灯 灯", *THAI]
    found = counts(tmp_path, texts, tokenizer())
    assert (found.texts, found.unreadable, found.shared_vector) == (6, 4, 0)
    assert 0 < found.unknown_tokens < 0.5


def test_one_unknown_token_that_stands_for_a_sentence_makes_a_text_unreadable(tmp_path):
    known = "a red sony kettle " * 3
    assert counts(tmp_path, [known + "x"]).unreadable == 0
    assert counts(tmp_path, [known + THAI[0]]).unreadable == 1


def test_a_tokenizer_that_knows_every_byte_reads_everything(tmp_path):
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    counter = TextCounter(settings(), tmp_path)
    counter.add(THAI, np.eye(3, dtype=np.float32))
    assert (counter.counts().unreadable, counter.counts().unknown_tokens) == (0, 0)


def test_equal_vectors_of_unequal_texts_are_counted_over_all_chunks(tmp_path):
    counter = TextCounter(NGRAMS, tmp_path)
    counter.add(["one", "two", "", "one"], np.array([[1, 2], [3, 4], [0, 0], [1, 2]], np.float32))
    counter.add(["two", "three"], np.array([[3, 4], [1, 2]], np.float32))
    found = counter.counts()
    assert (found.texts, found.vectors, found.shared_vector) == (3, 2, 2)
    assert found.unreadable is None and found.cut is None


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    def full(name):
        database = connect(name)
        database.execute("PRAGMA max_page_count = 3")
        return database

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", full)
    counter = TextCounter(NGRAMS, tmp_path)
    texts = [f"lamp {number}" for number in range(1000)]
    with pytest.raises(InputError, match=r"is full\): make room, or set TMPDIR"):
        counter.add(texts, np.eye(1000, dtype=np.float32))


def test_texts_that_differ_in_case_width_or_spaces_may_have_one_vector(tmp_path):
    counter = TextCounter(NGRAMS, tmp_path)
    counter.add(["Red LAMP", "red  lamp", "ｒｅｄ lamp"], np.ones((3, 2), np.float32))
    assert (counter.counts().texts, counter.counts().shared_vector) == (1, 0)


def test_sparse_vectors_are_compared_as_they_are(tmp_path):
    texts = ["red lamp!", "red lamp", "blue lamp", "grün"]
    counter = TextCounter(NGRAMS, tmp_path)
    counter.add(texts, HashedNgrams(256).encode(texts))
    assert (counter.counts().vectors, counter.counts().shared_vector) == (4, 0)
    counter.add(["new"], csr_array(HashedNgrams(256).encode(["grün"])))
    assert (counter.counts().vectors, counter.counts().shared_vector) == (4, 2)


def test_texts_that_are_cut_are_those_of_more_tokens_than_the_network_takes(tmp_path):
    texts = ["a red", "a red lamp", "a red lamp kettle"]
    assert counts(tmp_path, texts, max_tokens=3).cut == 1
    assert counts(tmp_path, texts, max_tokens=2).cut == 2
    assert counts(tmp_path, texts, max_tokens=4).cut == 0


def test_a_text_of_several_chunks_counts_once(tmp_path):
    texts = ["a red lamp kettle", "a red", THAI[0]]
    wanted = counts(tmp_path, texts, max_tokens=3)
    assert (wanted.texts, wanted.cut, wanted.unreadable) == (3, 1, 1)
    assert 0 < wanted.unknown_tokens < 1
    counter = TextCounter(settings(max_tokens=3), tmp_path)
    for some in (texts, texts[:1], texts[::-1]):
        counter.add(some, np.arange(len(some) * 2, dtype=np.float32).reshape(-1, 2))
    assert counter.counts() == wanted


def test_few_huge_texts_are_tokenised_at_a_time(tmp_path):
    texts = [f"{'red ' * 50_000}{at}" for at in range(6)]
    counts(tmp_path, [])
    counter = TextCounter(settings(max_tokens=99_999), tmp_path)
    tokenizer, sizes = counter._tokenizer, []

    class Watched:
        num_special_tokens_to_add = tokenizer.num_special_tokens_to_add

        def encode_batch(self, part, **options):
            sizes.append(sum(map(len, part)))
            return tokenizer.encode_batch(part, **options)

    counter._tokenizer = Watched()
    counter.add(texts, np.arange(12, dtype=np.float32).reshape(-1, 2))
    assert (counter.counts().texts, counter.counts().cut) == (6, 0)
    assert sum(sizes) == sum(map(len, texts)) and max(sizes) < 600_000


def test_the_marks_that_an_encoder_adds_count_as_tokens_that_it_takes(minilm_folder):
    counter = TextCounter(settings(max_tokens=256), minilm_folder)
    counter.add(["word " * 254, "word " * 255], np.eye(2, dtype=np.float32))
    assert counter.counts().cut == 1


def test_minilm_reads_english_and_no_thai(minilm_folder):
    counter = TextCounter(settings(), minilm_folder)
    counter.add(["a red lamp", "Crème brûlée set", *THAI], np.eye(5, dtype=np.float32))
    assert counter.counts().unreadable == 3


def test_a_tokenizer_that_is_not_in_the_fast_form_is_converted(tmp_path, minilm_folder):
    for name in ("vocab.txt", "tokenizer_config.json", "config.json"):
        (tmp_path / name).write_bytes((minilm_folder / name).read_bytes())
    slow, fast = (load_tokenizer("huggingface_text", one) for one in (tmp_path, minilm_folder))
    for text in ["A red lamp, 5 W", *THAI]:
        assert slow.encode(text).ids == fast.encode(text).ids


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"affected": 5, "shared_vector": 5}, None),
        ({"affected": 6, "shared_vector": 6}, "gives 6 of 100 texts the vector of another text"),
        ({"affected": 6, "unreadable": 6, "cut": 0}, "cannot read 6 of 100 texts: put multil"),
        ({"affected": 9, "shared_vector": 9, "unreadable": 0, "cut": 9}, "raise encoders.bert.max"),
    ],
)
def test_a_warning_says_what_is_wrong_and_what_to_do(changes, words):
    found = TextCounts(**{"texts": 100, "vectors": 90, "shared_vector": 0} | changes)
    warning = found.warning("bert")
    assert warning is None if words is None else words in warning


def test_the_encoder_that_is_recommended_is_not_recommended_in_its_own_place():
    found = TextCounts(100, 50, 60, 60, unreadable=0, cut=0)
    assert "in its place" not in found.warning("multilingual_e5")
    assert "docs/encoders.md" in found.warning("multilingual_e5")
