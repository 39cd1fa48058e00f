"""Texts embedded by an endpoint that speaks OpenAI's embeddings API: OpenAI's own, or another's.

Each text is paid for once: what an answer brings is cached before the next request is sent. It is
the only kind of encoder that needs the network to embed, and texts leave the machine.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

from stages.common.errors import InputError, UnavailableError
from stages.common.settings import HttpUrl, Positive, PositiveFloat
from stages.encoders.backends.base import Backend
from stages.encoders.settings import TextEncoderSettings
from stages.encoders.weights.manifest import Manifest

KEY = "OPENAI_API_KEY"  # the environment variable
OPENAI = "https://api.openai.com/v1"
BYTES_PER_TOKEN = 3  # English has four or more
MAX_BYTES = 250_000  # of the texts in a request: OpenAI takes 300,000 tokens
MAX_RETRIES = 6
TIMEOUT_S = 120
HURRIED_S = 10  # for an answer that somebody waits for
HURRIED_PAUSE_S = 1  # before it is asked for
FIRST_PAUSE_S = 0.5  # before an answer that was malformed is asked for again; doubled each time


class Settings(TextEncoderSettings):
    """A model behind `base_url` that gives `dimensions` numbers for a text.

    They are asked for unless the model has one size alone (`asks_dimensions: false`). A text is cut
    at `max_chars`. A request has at most `batch_size` texts, and there are at most
    `requests_per_minute`. With `usd_per_million_tokens`, a run that would cost more than `max_usd`
    is refused.
    """

    computed_by = "openai"
    is_remote = True
    costs = frozenset({"batch_size", "max_usd", "requests_per_minute", "usd_per_million_tokens"})

    kind: Literal["openai"]
    model: str
    dimensions: Positive
    asks_dimensions: bool = True
    base_url: Annotated[HttpUrl, AfterValidator(lambda url: url.rstrip("/"))] = OPENAI
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

    Raises InputError where a model is to predict with it and the environment has no key. Of a
    table all vectors may be in the cache: there the key is missed by the first text that is not.
    """
    encoder = OpenAIEncoder(settings, os.environ.get(KEY, "").strip())
    if backend.low_latency:
        encoder.check_key()
    return encoder


class OpenAIEncoder:
    """Asks an endpoint for vectors. Its costs are counted, and limited once they were estimated."""

    def __init__(self, settings: Settings, key: str) -> None:
        try:
            import openai
        except ImportError:
            raise InputError(f"{settings.model} needs the package openai: install it") from None
        self.n_features = settings.dimensions
        self.tokens = 0
        self._settings = settings
        self._key = key
        self._is_limited = False
        self._max_retries = MAX_RETRIES
        self._last = -np.inf
        try:
            # Texts and key go to this endpoint alone, and not where it may point to.
            # The hook makes the client's own retries keep their distance as well.
            http_client = openai.DefaultHttpxClient(
                follow_redirects=False, event_hooks={"request": [self._wait]}
            )
        except (ImportError, ValueError) as error:  # of a SOCKS proxy, or of one that is none
            raise InputError(
                f"{settings.base_url} cannot be asked ({error}): see the environment variables "
                "HTTPS_PROXY and ALL_PROXY"
            ) from None
        self._client = openai.OpenAI(
            api_key=key or "none",
            base_url=settings.base_url,
            max_retries=MAX_RETRIES,  # with exponential back-off; Retry-After is heeded
            timeout=TIMEOUT_S,
            http_client=http_client,
        )
        if settings.base_url != OPENAI:
            self._client.organization = self._client.project = None

    def hurry(self) -> None:
        """Ask once from now on, and wait for HURRIED_S at most."""
        # Of this client: another one would read anew from the environment whose account it is.
        self._max_retries = self._client.max_retries = 0
        self._client.timeout = HURRIED_S

    def check_key(self) -> None:
        """Raise InputError where there is no key for OpenAI's endpoint, or none that can be one."""
        if not self._key and self._settings.base_url == OPENAI:
            raise InputError(
                f"{self._settings.model} needs a key of OpenAI: set the environment variable {KEY}"
            )
        if not self._key.isascii() or len(self._key.split()) > 1:
            raise InputError(f"the environment variable {KEY} holds no key: set it anew")

    def check_cost(self, texts: Sequence[str]) -> None:
        """Say what texts will cost; raise InputError where that is more than `max_usd`.

        From then on the encoder stops where it has cost more than that. Raises it as well where
        there are texts and no key.
        """
        settings = self._settings
        if not texts:
            return
        self.check_key()
        if settings.usd_per_million_tokens is None:
            return
        self._is_limited = True
        cut = [text[: settings.max_chars] for text in texts]
        tokens = _estimated_tokens(cut)
        usd = self._usd(tokens)
        what = f"{len(texts):,} texts have about {tokens:,} tokens, which cost about {usd:.4f} USD"
        if usd > settings.max_usd:
            raise InputError(
                f"{what} with {settings.model}: raise the encoder's max_usd, which is "
                f"{settings.max_usd}"
            )
        print(f"{settings.model}: {what}", file=sys.stderr)

    def encode(self, batch: Sequence[str]) -> np.ndarray:
        """Return float32 (n, n_features): a vector for each text, in their order."""
        parts = list(self.stream(batch, lambda text: text))
        return np.concatenate([np.zeros((0, self.n_features), np.float32), *parts])

    def stream(self, inputs: Iterable[Any], opened: Callable[[Any], Any]) -> Iterator[np.ndarray]:
        """Yield float32 (k, n_features): the vectors that each answer brings, in order.

        Raises InputError where an endpoint refuses, fails for good or answers with something else,
        where all that was asked for has cost too much, and where there is no key to ask with.
        """
        texts = (opened(one)[: self._settings.max_chars] for one in inputs)
        for batch in _batches(texts, self._settings.batch_size):
            self.check_key()
            yield self._ask(batch)
        if self._is_limited:
            print(
                f"{self._settings.model}: {self.tokens:,} tokens, {self._usd(self.tokens):.4f} USD"
            )

    def _usd(self, tokens: int) -> float:
        return tokens * (self._settings.usd_per_million_tokens or 0) / 1e6

    def _ask(self, texts: Sequence[str]) -> np.ndarray:
        """Ask for the vectors of some texts, several times where an answer is malformed."""
        fault = ""
        for attempt in range(1 + self._max_retries):
            self._check_spent()
            if fault:
                time.sleep(FIRST_PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.75, 1))
            self._check_pause()
            answer = self._request(texts)
            self.tokens += _tokens_of(answer, texts)
            try:
                sizes = {len(one.embedding) for one in answer.data}
                if any(getattr(one, "index", None) is None for one in answer.data):
                    fault = "vectors without an index, which says of which text each is"
                    continue
                vectors = sorted(answer.data, key=lambda one: one.index)
                indices = [one.index for one in vectors]
                rows = np.array([one.embedding for one in vectors], dtype=np.float32)
            except (AttributeError, TypeError, ValueError):
                fault = "something else than vectors of one size"
                continue
            if len(vectors) != len(texts):
                fault = f"{len(vectors)} vectors for {len(texts)} texts"
            elif indices != list(range(len(texts))):
                fault = f"indices other than 0 to {len(texts) - 1}"
            elif sizes != {self.n_features}:
                raise InputError(
                    f"{self._settings.model} gives vectors of {rows.shape[1]} numbers, not of "
                    f"{self.n_features}: correct the encoder's dimensions"
                )
            elif not np.isfinite(rows).all():
                fault = "numbers that are not finite"
            else:
                return rows
        raise UnavailableError(
            f"{self._settings.base_url} answers with {fault}: see its address, or try later"
        )

    def _check_spent(self) -> None:
        """Raise InputError where what was asked for has cost more than `max_usd`."""
        spent, limit = self._usd(self.tokens), self._settings.max_usd
        if self._is_limited and spent > limit:
            raise InputError(
                f"{self.tokens:,} tokens cost {spent:.4f} USD, more than the encoder's max_usd "
                f"({limit}): raise it; what was paid for is kept"
            )

    def _request(self, texts: Sequence[str]) -> Any:
        """Send a request and return its answer, None where that is no JSON.

        Raises InputError where the request is refused, UnavailableError where that may change.
        """
        import openai

        settings = self._settings
        try:
            return self._client.embeddings.create(
                model=settings.model,
                input=list(texts),
                dimensions=settings.dimensions if settings.asks_dimensions else openai.omit,
                encoding_format="float",
                extra_headers=None if self._key else {"Authorization": openai.Omit()},
            )
        except (json.JSONDecodeError, UnicodeDecodeError):
            return None
        except openai.APIConnectionError:
            raise UnavailableError(
                f"{settings.base_url} does not answer: see that it runs and can be reached"
                f"{self._kept}"
            ) from None
        except openai.APIStatusError as error:
            words = " ".join(str(error.message).split())
            reason = (words.replace(self._key, "***") if self._key else words)[:300]
            status = error.status_code
            kind = UnavailableError if status in (401, 403, 429) or status >= 500 else InputError
            raise kind(
                f"{settings.base_url} answers {status} for {settings.model} ({reason}): "
                f"{_remedy(status)}{self._kept}"
            ) from None

    @property
    def _kept(self) -> str:
        """What an error adds where answers are cached."""
        return "; what was embedded so far is kept" if self._max_retries else ""

    def _pause(self) -> float:
        """Return the seconds until the next request may be sent."""
        limit = self._settings.requests_per_minute
        return 0.0 if limit is None else max(0.0, self._last + 60 / limit - time.monotonic())

    def _check_pause(self) -> None:
        """Raise UnavailableError where somebody would wait for long."""
        pause = self._pause()
        if pause > HURRIED_PAUSE_S and not self._max_retries:
            raise UnavailableError(
                f"{self._settings.model} is asked too often: requests_per_minute is "
                f"{self._settings.requests_per_minute}, and the next request may be sent in "
                f"{pause:.0f} s"
            )

    def _wait(self, request: Any) -> None:
        """Wait until `request` may be sent."""
        time.sleep(self._pause())
        self._last = time.monotonic()


def _estimated_tokens(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) // BYTES_PER_TOKEN + 1 for text in texts)


def _tokens_of(answer: Any, texts: Sequence[str]) -> int:
    """Return the tokens that an answer reports; where it reports none, those estimated of texts."""
    reported = getattr(getattr(answer, "usage", None), "total_tokens", None)
    if isinstance(reported, int) and reported >= 0:
        return reported
    return _estimated_tokens(texts)


def _remedy(status: int) -> str:
    """Return what to do where an endpoint answers with a status that is an error."""
    if status in (401, 403):
        return f"see {KEY}"
    if 300 <= status < 400:
        return "give the encoder's base_url the address that it points to"
    return "try again later" if status == 429 or status >= 500 else "see the encoder's entry"


def _batches(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    """Yield at most `size` texts at a time, and no more than MAX_BYTES of them."""
    batch: list[str] = []
    n_bytes = 0
    for text in texts:
        if batch and (len(batch) == size or n_bytes + len(text.encode()) > MAX_BYTES):
            yield batch
            batch, n_bytes = [], 0
        batch.append(text)
        n_bytes += len(text.encode())
    if batch:
        yield batch
