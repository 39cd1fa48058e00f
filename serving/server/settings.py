"""The server's settings: from the command line, else the environment, else as they are here."""

import argparse
import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from stages.common.errors import InputError
from stages.common.settings import Positive, PositiveFloat

PREFIX = "PRODUCT_CLASSIFIER_"
SERVICE_PORT = ("tcp://", "udp://", "sctp://")  # what Kubernetes sets PREFIX + PORT to
KEY = "api_key"  # never an option: the command line of a process is there for all to read


def _names(value: Any) -> Any:
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


def _stripped(value: Any) -> Any:
    """Return a key as a header can bring it: without whitespace at its ends."""
    return value.strip(string.whitespace) if isinstance(value, str) else value


def _host(name: str) -> str:
    """Return a host as URLs have it: in lower case."""
    if not _HOST.fullmatch(name.lower()):
        raise ValueError(
            f"{name!r} is no host: write it as in cdn.example.com or host:port, without https:// "
            "and path; letters beyond ASCII as xn--..."
        )
    return name.lower()


_HOST = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
Host = Annotated[str, AfterValidator(_host)]


class ServerSettings(BaseModel):
    """Where the server listens, what it serves, and how much it takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: Path = Field(Path("models/best"), description="folder of the model")
    host: str = Field("127.0.0.1", description="address to listen at; 0.0.0.0 is all of them")
    port: int = Field(8000, ge=0, le=65535, description="port to listen at; 0 takes a free one")
    api_key: Annotated[SecretStr | None, BeforeValidator(_stripped)] = Field(None, min_length=1)
    image_hosts: Annotated[tuple[Host, ...], BeforeValidator(_names)] = Field(
        (),
        description="hosts that image_url may name, with commas, as cdn.example.com or host:port",
    )
    private_image_hosts: bool = Field(
        False, description="whether these hosts may have addresses of a private network"
    )
    max_products: Positive = Field(256, description="products in a request")
    max_image_bytes: Positive = Field(10_000_000, description="bytes of an image")
    max_megapixels: Positive = Field(50, description="megapixels of an image")
    max_body_bytes: Positive = Field(32_000_000, description="bytes of a request's body")
    max_bodies_bytes: Positive = Field(256_000_000, description="bytes of all bodies in memory")
    max_requests: Positive = Field(256, description="requests that are answered at once")
    max_queue: Positive = Field(2048, description="products that are answered at once")
    max_connections: Positive = Field(1000, description="open connections")
    batch_size: Positive = Field(256, description="products that are predicted together, at most")
    batch_ms: PositiveFloat = Field(250, description="milliseconds that they take, about")
    batch_wait_ms: Annotated[float, Field(ge=0, le=100)] = Field(
        0, description="milliseconds to wait for a batch to fill"
    )
    header_timeout_s: Positive = Field(10, description="seconds for a request's headers")
    body_timeout_s: PositiveFloat = Field(30, description="seconds for a request's body")
    request_timeout_s: PositiveFloat = Field(60, description="seconds from the body to the answer")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.max_products > self.max_queue:
            raise ValueError("max_queue must not be less than max_products")
        if self.max_body_bytes > self.max_bodies_bytes:
            raise ValueError("max_bodies_bytes must not be less than max_body_bytes")
        return self


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> ServerSettings:
    """Return the settings; an option goes before its variable, as PRODUCT_CLASSIFIER_PORT.

    The key comes from PRODUCT_CLASSIFIER_API_KEY alone. An empty variable counts as none, but for
    the key: it would open the server. Raises InputError naming the setting.
    """
    given = {
        name: value
        for name in ServerSettings.model_fields
        if (value := environment.get(PREFIX + name.upper())) or (name == KEY and value is not None)
    }
    if given.get("port", "").startswith(SERVICE_PORT):
        del given["port"]
    given |= vars(_parser().parse_args(arguments))
    try:
        return ServerSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        option = "" if name == KEY else f"--{name.replace('_', '-')} or "
        where = f"{option}{PREFIX}{name.upper()}: " if name else ""
        raise InputError(f"{where}{first['msg']}: see --help") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.server",
        description="Serve a model over HTTP.",
        epilog=f"{PREFIX}{KEY.upper()}: the key that requests must send, if it is set.",
    )
    for name, field in ServerSettings.model_fields.items():
        if name == KEY:
            continue
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            metavar="X",
            default=argparse.SUPPRESS,
            help=f"{field.description} ({PREFIX}{name.upper()}; {default})",
        )
    return parser
