"""The words and pieces of words of a text, counted: what a search engine would see of it.

Counts of words and pairs of words, and of pieces of three to five letters, each hashed to a fixed
number of places (Weinberger et al. 2009, Feature Hashing), so that nothing is learnt here and a
text's vector depends on that text alone. What is learnt, how much each place says, is learnt in
`train` from the training products.
"""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.sparse import csr_array, hstack

from stages.encoders.settings import TextEncoderSettings
from stages.encoders.weights.manifest import Manifest


class Settings(TextEncoderSettings):
    """Counts of a text's n-grams, hashed to `n_features` numbers."""

    kind: Literal["hashed_ngrams"]
    n_features: Annotated[int, Field(ge=64, le=2**20, multiple_of=2)] = 16384


def fetch(settings: Settings, folder: Path, policy: str, seed: int) -> Manifest:
    """Say that there are no weights to fetch."""
    return Manifest("none", f"scikit-learn {version('scikit-learn')}", None, "")


def count(settings: Settings, texts: Sequence[str]) -> csr_array:
    """Count the n-grams of each text: float32 of shape (n, size), the first half for words.

    Each half is of unit length, or zeros where a text has no such n-gram.
    """
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import normalize

    halves = []
    for analyzer, ngrams in (("word", (1, 2)), ("char_wb", (3, 5))):
        vectorizer = HashingVectorizer(
            n_features=settings.n_features // 2,
            alternate_sign=False,
            norm=None,
            analyzer=analyzer,
            ngram_range=ngrams,
            dtype=np.float32,
        )
        counts = vectorizer.transform(texts)
        counts.data = np.log1p(counts.data)
        halves.append(normalize(counts))
    return csr_array(hstack(halves, format="csr"))
