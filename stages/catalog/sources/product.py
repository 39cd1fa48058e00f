"""What a source yields for each product of its catalogue."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RawProduct:
    """A product as its source has it: text not cleaned yet, None or empty where there is nothing.

    `image` has the text of a `stages.common.image_ref.ImageRef`. If the product has several images,
    it has one a line, and the first is used.
    """

    sku: str | None
    name: str | None
    description: str | None
    manufacturer: str | None
    label: str | None
    image: str | None

    @property
    def has_several_images(self) -> bool:
        """Whether the product has more than one image."""
        return "\n" in (self.image or "")
