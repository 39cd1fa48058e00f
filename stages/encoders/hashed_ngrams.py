"""The words and pieces of words of a text, counted: what a search engine would see of it.

Counts of words and pairs of words, and of pieces of three to five letters, each hashed to a fixed
number of places (Weinberger et al. 2009, Feature Hashing), so that nothing is learnt here and a
text's vector depends on that text alone. What is learnt, how much each place says, is learnt in
`train` from the training products.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import sklearn
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.preprocessing import normalize

from stages.encoders.engine import Engine
from stages.encoders.weights import Manifest
from stages.params import HashedNgramsEncoder

BATCH = 256


def fetch(settings: HashedNgramsEncoder, folder: Path, policy: str, seed: int) -> Manifest:
    """Say that there are no weights to fetch."""
    return Manifest("none", f"scikit-learn {sklearn.__version__}", None, "")


def load(settings: HashedNgramsEncoder, folder: Path, engine: Engine) -> "HashedNgrams":
    """Make an encoder."""
    return HashedNgrams(settings)


class HashedNgrams:
    """Turns texts into counts of their n-grams: half of the places for words, half for letters."""

    def __init__(self, settings: HashedNgramsEncoder) -> None:
        self.size = settings.size
        self._words, self._letters = (
            HashingVectorizer(
                n_features=settings.size // 2,
                alternate_sign=False,
                norm=None,
                analyzer=analyzer,
                ngram_range=ngrams,
                dtype=np.float32,
            )
            for analyzer, ngrams in (("word", (1, 2)), ("char_wb", (3, 5)))
        )

    def encode(self, texts: Iterable[str]) -> Iterator[np.ndarray]:
        """Yield a float32 vector of shape (size,) for each text, in their order.

        Each half is of unit length, or zeros where a text has no such n-gram.
        """
        rest = iter(texts)
        while batch := list(islice(rest, BATCH)):
            halves = [
                normalize(np.log1p(vectorizer.transform(batch).toarray()))
                for vectorizer in (self._words, self._letters)
            ]
            yield from np.hstack(halves)
