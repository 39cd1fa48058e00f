"""What every encoder's entry in params.yaml may say; each kind's module adds its own settings."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from stages.common.settings import PositiveFloat, Settings, TextFields

View = Literal["identity", "hflip", "zoom_out"]


class EncoderSettings(Settings):
    """An encoder: `kind` names its module in stages/encoders/.

    `modality` is image or text, what it embeds. `framework` is tensorflow or torch, what its
    authors run it in, or None where OpenVINO alone can.
    """

    modality: ClassVar[str]
    framework: ClassVar[str | None] = None

    kind: str


class ImageEncoderSettings(EncoderSettings):
    """An image encoder: its vector is the mean of those of the `tta` views of an image."""

    modality = "image"

    tta: Annotated[list[View], Field(min_length=1)] = Field(default=["identity"])


class TextEncoderSettings(EncoderSettings):
    """A text encoder: it reads `fields` instead of `text.fields` where they are given."""

    modality = "text"

    fields: TextFields | None = None


class CacheSettings(Settings):
    """What is kept from one run to the next, outside DVC: a limit in gigabytes (10^9 bytes)."""

    max_gb: PositiveFloat
