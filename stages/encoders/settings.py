"""What every encoder's entry in params.yaml may say; each kind's module adds its own settings."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from stages.common.settings import PositiveFloat, Settings, TextFields

View = Literal["identity", "hflip", "zoom_out"]


class EncoderSettings(Settings):
    """An encoder: `kind` names its module in stages/encoders/.

    `modality` is what it embeds, image or text. `frameworks` are what runs its network beside
    OpenVINO: torch, which a GPU takes, or tensorflow. An encoder without a network says what it is
    `computed_by` instead, such as scikit-learn. `is_sparse` says that its vectors are mostly zeros:
    they are csr arrays and are not cached. `usage` names the settings that say how the weights are
    used, and not which weights they are. `is_remote` says that another machine computes vectors,
    and `costs` names the settings that change what they cost, and no vector.
    """

    modality: ClassVar[str]
    frameworks: ClassVar[tuple[str, ...]] = ()
    computed_by: ClassVar[str | None] = None
    is_sparse: ClassVar[bool] = False
    usage: ClassVar[frozenset[str]] = frozenset({"fields", "prefix", "tta"})
    is_remote: ClassVar[bool] = False
    costs: ClassVar[frozenset[str]] = frozenset()

    kind: str

    def weights_request(self) -> dict[str, Any]:
        """Return the settings that choose the weights; a SHA-256 only checks them."""
        return self.model_dump(mode="json", exclude={"sha256", *self.usage})

    def most_tokens(self, folder: Path) -> int | None:
        """Return how many tokens of a text are read, by weights in `folder`; None without any."""
        return getattr(self, "max_tokens", None)


class ImageEncoderSettings(EncoderSettings):
    """An image encoder: its vector is the mean of those of the `tta` views of an image."""

    modality = "image"

    tta: Annotated[list[View], Field(min_length=1)] = Field(default=["identity"])


class TextEncoderSettings(EncoderSettings):
    """A text encoder: it reads `fields` instead of `text.fields` where they are given.

    `prefix` is put in front of each text, as some networks were trained with one.
    """

    modality = "text"

    fields: TextFields | None = None
    prefix: str = ""


class CacheSettings(Settings):
    """What is kept from one run to the next, outside DVC: a limit in gigabytes (10^9 bytes)."""

    max_gb: PositiveFloat
