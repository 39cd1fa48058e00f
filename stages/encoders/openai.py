"""Texts embedded by an endpoint that speaks OpenAI's embeddings API: OpenAI's own, or another's.

Each text is paid for once: what an answer brings is cached before the next request is sent. It is
the only kind of encoder that needs the network to embed, and texts leave the machine.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from stages.common.errors import InputError
from stages.common.settings import HttpUrl, Positive, PositiveFloat
from stages.encoders.backends.base import Backend
from stages.encoders.settings import TextEncoderSettings
from stages.encoders.weights.manifest import Manifest

KEY = "OPENAI_API_KEY"  # the environment variable
NO_KEY = "none"  # what is sent where an endpoint of one's own needs no key
OPENAI = "https://api.openai.com/v1"
BYTES_PER_TOKEN = (
    3  # fewer than English has, so that the estimate is high; of rare scripts it is low
)
MAX_RETRIES = 6
TIMEOUT_S = 120


class Settings(TextEncoderSettings):
    """A model behind `base_url` that gives `dimensions` numbers for a text.

    A text is cut at `max_chars`. A request has at most `batch_size` texts, and there are at most
    `requests_per_minute`. With `usd_per_million_tokens`, a run that would cost more than `max_usd`
    is refused.
    """

    framework = "openai"
    is_remote = True
    costs = frozenset({"batch_size", "max_usd", "requests_per_minute", "usd_per_million_tokens"})

    kind: Literal["openai"]
    model: str
    dimensions: Positive
    base_url: HttpUrl = OPENAI
    max_chars: Positive = 8000
    batch_size: Annotated[int, Field(ge=1, le=2048)] = 64
    requests_per_minute: Positive | None = None
    usd_per_million_tokens: PositiveFloat | None = None
    max_usd: PositiveFloat = 1.0


def fetch(settings: Settings, folder: Path) -> Manifest:
    """Return the manifest of an encoder whose weights stay where they are."""
    return Manifest("none", f"{settings.base_url}, {settings.model}", None, "")


def load(settings: Settings, folder: Path, backend: Backend) -> "OpenAIEncoder":
    """Make an encoder; it needs nothing of `folder`.

    Raises InputError where the environment has no key for OpenAI's endpoint.
    """
    key = os.environ.get(KEY)
    if not key and settings.base_url == OPENAI:
        raise InputError(
            f"{settings.model} needs a key of OpenAI: set the environment variable {KEY}"
        )
    return OpenAIEncoder(settings, key or NO_KEY)


class OpenAIEncoder:
    """Asks an endpoint for vectors, and counts what they cost."""

    def __init__(self, settings: Settings, key: str) -> None:
        try:
            from openai import OpenAI
        except ImportError:
            raise InputError(f"{settings.model} needs the package openai: install it") from None
        self.n_features = settings.dimensions
        self.tokens = 0
        self._settings = settings
        self._client = OpenAI(
            api_key=key,
            base_url=settings.base_url,
            max_retries=MAX_RETRIES,  # with exponential back-off; Retry-After is heeded
            timeout=TIMEOUT_S,
        )
        self._last = -np.inf

    def encode(self, batch: Sequence[str]) -> np.ndarray:
        """Return float32 (n, n_features): a vector for each text, in their order."""
        parts = list(self.stream(batch, lambda text: text))
        return np.concatenate([np.zeros((0, self.n_features), np.float32), *parts])

    def stream(self, inputs: Iterable[Any], opened: Callable[[Any], Any]) -> Iterator[np.ndarray]:
        """Yield float32 (k, n_features): the vectors that each answer brings, in order.

        Raises InputError before the first request where all would cost too much, and where an
        endpoint refuses, fails for good or answers with something else.
        """
        texts = [opened(one)[: self._settings.max_chars] for one in inputs]
        self._check_cost(texts)
        size = self._settings.batch_size
        for start in range(0, len(texts), size):
            yield self._ask(texts[start : start + size])
        if texts and self._settings.usd_per_million_tokens is not None:
            print(
                f"{self._settings.model}: {self.tokens:,} tokens, {self._usd(self.tokens):.4f} USD"
            )

    def _check_cost(self, texts: Sequence[str]) -> None:
        """Say what texts will cost at most; raise InputError where that is too much."""
        if not texts or self._settings.usd_per_million_tokens is None:
            return
        tokens = sum(len(text.encode()) // BYTES_PER_TOKEN + 1 for text in texts)
        usd = self._usd(self.tokens + tokens)
        name, limit = self._settings.model, self._settings.max_usd
        if usd > limit:
            raise InputError(
                f"{len(texts):,} texts have about {tokens:,} tokens, and with {name} the run would "
                f"cost about {usd:.4f} USD: raise the encoder's max_usd, which is {limit}"
            )
        print(f"{name}: about {tokens:,} tokens to embed, {usd:.4f} USD at most", file=sys.stderr)

    def _usd(self, tokens: int) -> float:
        return tokens * (self._settings.usd_per_million_tokens or 0) / 1e6

    def _ask(self, texts: Sequence[str]) -> np.ndarray:
        """Ask for the vectors of some texts, as often as an answer is cut short or malformed."""
        if self._usd(self.tokens) > self._settings.max_usd:
            raise InputError(
                f"{self.tokens:,} tokens cost {self._usd(self.tokens):.4f} USD, more than the "
                f"encoder's max_usd ({self._settings.max_usd}): raise it; what was paid for is kept"
            )
        reason = ""
        for _ in range(1 + MAX_RETRIES):
            self._wait()
            answer = self._request(texts)
            self.tokens += answer.usage.total_tokens if answer.usage else 0
            reason = self._fault(answer, len(texts))
            if not reason:
                by_index = sorted(answer.data, key=lambda one: one.index)
                return np.array([one.embedding for one in by_index], dtype=np.float32)
        raise InputError(f"{self._settings.base_url} answers with {reason}: try again later")

    def _request(self, texts: Sequence[str]) -> Any:
        """Send a request; raise InputError where it is refused, or fails for good."""
        import openai

        settings = self._settings
        try:
            return self._client.embeddings.create(
                model=settings.model,
                input=list(texts),
                dimensions=settings.dimensions,
                encoding_format="float",
            )
        except openai.APIConnectionError:
            raise InputError(
                f"{settings.base_url} does not answer: see that it runs and can be reached; what "
                "was embedded so far is kept"
            ) from None
        except openai.APIStatusError as error:
            reason = " ".join(str(error.message).split())[:300].replace(self._client.api_key, "***")
            remedy = f"see {KEY}" if error.status_code in (401, 403) else "see the encoder's entry"
            raise InputError(
                f"{settings.base_url} answers {error.status_code} for {settings.model} ({reason}): "
                f"{remedy}; what was embedded so far is kept"
            ) from None

    def _wait(self) -> None:
        """Wait until the next request may be sent."""
        if self._settings.requests_per_minute is not None:
            time.sleep(
                max(0, self._last + 60 / self._settings.requests_per_minute - time.monotonic())
            )
            self._last = time.monotonic()

    def _fault(self, answer: Any, count: int) -> str:
        """Say what is wrong with an answer; an empty string where nothing is.

        Raises InputError where vectors have another size than the encoder's.
        """
        vectors = answer.data or []
        if sorted(one.index for one in vectors) != list(range(count)):
            return f"{len(vectors)} vectors for {count} texts"
        sizes = {len(one.embedding) for one in vectors}
        if sizes != {self.n_features}:
            raise InputError(
                f"{self._settings.model} gives vectors of {', '.join(map(str, sorted(sizes)))} "
                f"numbers, not of {self.n_features}: correct the encoder's dimensions"
            )
        if not np.isfinite([one.embedding for one in vectors]).all():
            return "numbers that are not finite"
        return ""
