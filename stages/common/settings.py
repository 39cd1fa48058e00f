"""The types that the settings of params.yaml are made of; each room composes its own from them."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(gt=0, lt=1)]
# Larger numbers end in errors of libraries, which take integers of 64 bits and numbers of float32.
Positive = Annotated[int, Field(ge=1, lt=2**63)]
Name = Annotated[str, Field(min_length=1)]
PositiveFloat = Annotated[float, Field(gt=0, le=1e30)]
TextFields = Annotated[list[Literal["name", "description", "manufacturer"]], Field(min_length=1)]


def _without_password(url: str) -> str:
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise ValueError(
            "a user or password would be written to dvc.lock: leave it out, and put it in ~/.netrc"
        )
    return url


def _with_host(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_valid = bool(str(parts.hostname).encode("idna")) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError("its host or port is none that can be asked")
    return url


PathOrUrl = Annotated[Name, AfterValidator(_without_password)]
HttpUrl = Annotated[PathOrUrl, Field(pattern=r"^https?://[^/\s]+"), AfterValidator(_with_host)]


class Settings(BaseModel):
    """A mapping of params.yaml: only known keys, each value of its type, and nothing to change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
