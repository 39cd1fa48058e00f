"""What a text encoder makes of a catalogue's texts: which it cannot read, tell apart or take whole.

No vector depends on this module. It reads the tokeniser, which is cheap, and never the network.
"""

import json
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from stages.common import clip_network, huggingface
from stages.common.errors import InputError
from stages.common.tables import Matrix
from stages.common.text_tokens import TOKENIZER_FILE
from stages.encoders.settings import EncoderSettings

UNREADABLE = 0.1  # a larger share of unknown tokens, or of characters in them, is unreadable
TOLERATED = 0.05  # a larger share of texts that are unreadable or share a vector is a fault
# Texts that are tokenised at a time, and their characters: an encoding takes 25 bytes for each.
TOKENISED = 512
MAX_CHARS = 2**19
MULTILINGUAL = "multilingual_e5"  # the entry of params.yaml that reads most languages

# A text: digests of what it is compared by and of its vector, and what its tokeniser made of it. An
# encoder without one has its characters for tokens.
CREATE = (
    "CREATE TABLE seen (text INTEGER PRIMARY KEY, vector INTEGER NOT NULL, "
    "tokens INTEGER, unknown INTEGER, is_unreadable INTEGER)"
)
PUT = "INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?, ?)"  # of equal texts the first one counts
COUNT = """
WITH vectors AS (SELECT vector, count(*) AS texts FROM seen GROUP BY vector),
shared AS (SELECT vector FROM vectors WHERE texts > 1)
SELECT
    (SELECT count(*) FROM seen),
    (SELECT count(*) FROM vectors),
    (SELECT coalesce(sum(texts), 0) FROM vectors WHERE texts > 1),
    (SELECT count(*) FROM seen WHERE is_unreadable OR vector IN shared),
    coalesce(sum(is_unreadable), 0), coalesce(sum(tokens), 0), coalesce(sum(unknown), 0),
    count(CASE WHEN tokens > ? THEN 1 END)
FROM seen
"""


@dataclass(frozen=True)
class TextCounts:
    """Counts of the different texts that an encoder embedded; texts that differ in case are equal.

    `vectors` are different vectors, `shared_vector` texts with the vector of an unequal text.
    `affected` texts are unreadable, share a vector, or both. What is counted in tokens is None
    where an encoder has none; `cut` is there as well where it reads so many characters.
    """

    texts: int
    vectors: int
    shared_vector: int
    affected: int
    unreadable: int | None = None
    unknown_tokens: float | None = None  # the share of all tokens
    cut: int | None = None
    max_tokens: int | None = None

    def metadata(self) -> dict[str, Any]:
        """Return the counts as JSON has them."""
        return asdict(self)

    def words(self) -> str:
        """Return the counts in one line."""
        words = (
            f"{self.texts:,} different texts have {self.vectors:,} different vectors, "
            f"{self.shared_vector:,} texts share one"
        )
        if self.unreadable is None:
            return words if self.cut is None else f"{words}; {self.cut:,} are cut"
        return (
            f"{words}; {self.unreadable:,} texts are unreadable ({self.unknown_tokens:.1%} of all "
            f"tokens are unknown); {self.cut:,} are cut at {self.max_tokens} tokens"
        )

    def warning(self, name: str) -> str | None:
        """Return what is wrong and what to use instead of the encoder `name`; None where it is fit.

        That is where more than TOLERATED of the texts are unreadable or share a vector.
        """
        if self.affected <= TOLERATED * self.texts:
            return None
        faults = []
        if self.unreadable:
            faults.append(f"cannot read {self.unreadable:,} of {self.texts:,} texts")
        if self.shared_vector:
            faults.append(
                f"gives {self.shared_vector:,} of {self.texts:,} texts the vector of another text"
            )
        return f"warning: {name} {' and '.join(faults)}: {self._remedy(name)}"

    def _remedy(self, name: str) -> str:
        if self.cut and (self.unreadable or 0) <= TOLERATED * self.texts:
            return (
                f"raise encoders.{name}.max_tokens or max_chars if it has that key, or embed "
                "shorter fields"
            )
        if name == MULTILINGUAL:
            return "see docs/encoders.md, Choose a text encoder"
        return (
            f"put {MULTILINGUAL}, which reads most languages, in its place in text.encoders; see "
            "docs/encoders.md, Choose a text encoder"
        )


class TextCounter:
    """Counts what an encoder makes of texts, chunk by chunk.

    What it has seen lies in a nameless file, so that memory does not depend on how many texts there
    are.
    """

    def __init__(self, settings: EncoderSettings, folder: Path) -> None:
        """Take an encoder's settings and the folder of its weights, where its tokeniser is.

        Raises InputError where a tokeniser cannot be loaded.
        """
        self._max_chars = getattr(settings, "max_chars", None)
        self._max_tokens = settings.most_tokens(folder)
        self._tokenizer = (
            None if self._max_tokens is None else load_tokenizer(settings.kind, folder)
        )
        self._unknown = None if self._tokenizer is None else unknown_token(self._tokenizer)
        self._seen = sqlite3.connect("")
        self._seen.execute(CREATE)

    def add(self, texts: Sequence[str], vectors: Matrix) -> None:
        """Count texts and their vectors, float32 (n, size); empty texts are left out.

        Raises InputError where there is no room for what is counted.
        """
        first: dict[int, int] = {}
        for row, text in enumerate(texts):
            if comparable := _comparable(text):
                first.setdefault(_digest(comparable.encode()), row)
        rows = list(first.values())
        digests = (_digest(_row_bytes(vectors, row)) for row in rows)
        tokens = self._count_tokens([texts[row] for row in rows])
        found = ((*pair, *counts) for *pair, counts in zip(first, digests, tokens, strict=True))
        try:
            self._seen.executemany(PUT, found)
        except sqlite3.OperationalError as error:
            raise InputError(
                f"what is counted of texts cannot be written to a temporary file ({error}): make "
                "room, or set TMPDIR to a folder that has some"
            ) from None

    def counts(self) -> TextCounts:
        """Return the counts of all texts so far."""
        room = self._max_chars or 0
        if self._tokenizer is not None and self._max_tokens is not None:
            room = self._max_tokens - self._tokenizer.num_special_tokens_to_add(False)
        (row,) = self._seen.execute(COUNT, (room,))
        n_texts, n_vectors, shared_vector, affected, unreadable, tokens, unknown, cut = row
        found = TextCounts(n_texts, n_vectors, shared_vector, affected)
        if self._tokenizer is None:
            return found if self._max_chars is None else replace(found, cut=cut)
        return replace(
            found,
            unreadable=unreadable,
            unknown_tokens=round(unknown / max(tokens, 1), 4),
            cut=cut,
            max_tokens=self._max_tokens,
        )

    def close(self) -> None:
        """Forget the texts."""
        self._seen.close()

    def _count_tokens(self, texts: list[str]) -> Iterable[tuple[int, int, bool]]:
        """Yield how many tokens and unknown ones each text has, and whether it is unreadable."""
        if self._tokenizer is None:
            yield from ((len(text), 0, False) for text in texts)
            return
        for part in _parts(texts):
            encodings = self._tokenizer.encode_batch(part, add_special_tokens=False)
            for text, encoding in zip(part, encodings, strict=True):
                ids = encoding.ids
                unknown = 0 if self._unknown is None else ids.count(self._unknown)
                # One unknown token may stand for a whole sentence in a script without spaces.
                is_unreadable = unknown > UNREADABLE * len(ids) or (
                    unknown > 0
                    and self._unknown_characters(encoding) > UNREADABLE * len("".join(text.split()))
                )
                yield len(ids), unknown, is_unreadable

    def _unknown_characters(self, encoding: Any) -> int:
        pairs = zip(encoding.ids, encoding.offsets, strict=True)
        return sum(end - start for one, (start, end) in pairs if one == self._unknown)


def _parts(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield at most TOKENISED texts at a time, and no more than MAX_CHARS of them."""
    part: list[str] = []
    n_chars = 0
    for text in texts:
        if part and (len(part) == TOKENISED or n_chars + len(text) > MAX_CHARS):
            yield part
            part, n_chars = [], 0
        part.append(text)
        n_chars += len(text)
    if part:
        yield part


def load_tokenizer(kind: str, folder: Path) -> Any:
    """Load the tokeniser in the folder of an encoder of a kind; it neither cuts nor pads texts.

    None where the folder has none. Raises InputError where Transformers cannot load it.
    """
    if not any(folder.glob("tokenizer*")):
        return None
    if kind == "clip_text":  # of SigLIP it reads capitals as small letters
        tokenizer = clip_network.load_tokenizer(folder)
    elif (folder / TOKENIZER_FILE).is_file():
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    else:
        from transformers import AutoTokenizer

        tokenizer = huggingface.from_folder(AutoTokenizer, folder).backend_tokenizer
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def unknown_token(tokenizer: Any) -> int | None:
    """Return the id of the token for what a tokeniser does not know; None where it knows all."""
    model = json.loads(tokenizer.to_str())["model"]
    if model.get("unk_id") is not None:
        return model["unk_id"]
    name = model.get("unk_token")
    return None if name is None else tokenizer.token_to_id(name)


def _comparable(text: str) -> str:
    """Return a text without what may differ in equal texts: case, width and spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _row_bytes(vectors: Matrix, row: int) -> bytes:
    """Return what is equal for equal vectors."""
    if isinstance(vectors, np.ndarray):
        return np.ascontiguousarray(vectors[row]).tobytes()
    part = slice(vectors.indptr[row], vectors.indptr[row + 1])
    return vectors.indices[part].tobytes() + vectors.data[part].tobytes()


def _digest(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little", signed=True)
