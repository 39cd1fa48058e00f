"""Counts of a text's words and pieces of words, hashed to a fixed number of features.

Words and pairs of words, and pieces of three to five letters (Weinberger et al. 2009, Feature
Hashing): nothing is learnt here, and a text's vector depends on that text alone. What each feature
is worth is learnt by the classifiers from the training products.
"""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.sparse import csr_array, hstack

from stages.encoders.backends.base import Backend
from stages.encoders.settings import TextEncoderSettings
from stages.encoders.weights.manifest import Manifest


class Settings(TextEncoderSettings):
    """Counts of a text's n-grams, hashed to `n_features` numbers."""

    computed_by = "scikit-learn"
    is_sparse = True

    kind: Literal["hashed_ngrams"]
    n_features: Annotated[int, Field(ge=64, le=2**20, multiple_of=2)] = 16384


def fetch(settings: Settings, folder: Path) -> Manifest:
    """Return the manifest of an encoder without weights."""
    return Manifest("none", f"scikit-learn {version('scikit-learn')}", None, "")


def load(settings: Settings, folder: Path, backend: Backend) -> "HashedNgrams":
    """Make an encoder; it needs nothing of `folder`."""
    return HashedNgrams(settings.n_features)


class HashedNgrams:
    """Counts the n-grams of texts."""

    def __init__(self, n_features: int) -> None:
        self.n_features = n_features

    def encode(self, batch: Sequence[str]) -> csr_array:
        """Return float32 (n, n_features): each text's counts, the first half of words.

        Each half is of unit length, or zeros where a text has no such n-gram.
        """
        from sklearn.feature_extraction.text import HashingVectorizer
        from sklearn.preprocessing import normalize

        if not batch:
            return csr_array((0, self.n_features), dtype=np.float32)
        halves = []
        for analyzer, ngrams in (("word", (1, 2)), ("char_wb", (3, 5))):
            vectorizer = HashingVectorizer(
                n_features=self.n_features // 2,
                alternate_sign=False,
                norm=None,
                analyzer=analyzer,
                ngram_range=ngrams,
                dtype=np.float32,
            )
            counts = vectorizer.transform(batch)
            counts.data = np.log1p(counts.data)
            halves.append(normalize(counts))
        return csr_array(hstack(halves, format="csr"))
