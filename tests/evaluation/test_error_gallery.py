import io

import numpy as np
from PIL import Image

from stages.evaluation.error_gallery import Case, contact_sheet


def jpeg(seed: int | None) -> bytes:
    """Make a picture of noise, the worst to compress, or a blue one."""
    pixels = np.full((224, 224, 3), (0, 0, 255), dtype=np.uint8)
    if seed is not None:
        pixels = np.random.default_rng(seed).integers(256, size=(224, 224, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def case(picture: bytes | None, name: str = "A name") -> Case:
    return Case(name, picture, "Phones", "Phone Cases", 0.987)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    return {colour for _, colour in image.getcolors(image.width * image.height)}


def test_a_full_sheet_of_noise_stays_small():
    data = contact_sheet([case(jpeg(at), f"Product {at} " * 30) for at in range(20)], "Mistakes")
    assert len(data) < 320_000
    assert opened(data).width > opened(data).height


def test_pictures_and_words_are_there():
    sheet = opened(contact_sheet([case(jpeg(None))], "Mistakes"))
    assert any(blue > 240 and red < 20 for red, _, blue in colours(sheet))
    below = sheet.crop((0, 165, 208, sheet.height))
    assert (0, 0, 0) in colours(below) and len(colours(below)) > 10


def test_a_product_without_a_picture_has_its_place():
    with_one, without = (
        opened(contact_sheet([case(picture)], "Mistakes")) for picture in (jpeg(None), None)
    )
    assert with_one.size == without.size
    assert (238, 238, 238) in colours(without)


def test_long_names_stay_in_their_cell():
    sheet = opened(contact_sheet([case(None, "Supercalifragilistic" * 9)] * 1, "Mistakes"))
    assert colours(sheet.crop((208, 40, sheet.width, sheet.height))) == {(255, 255, 255)}


def test_without_mistakes_there_is_the_title_alone():
    assert opened(contact_sheet([], "No mistakes")).height == 40


def test_the_same_cases_give_the_same_bytes():
    cases = [case(jpeg(1)), case(None)]
    assert contact_sheet(cases, "Mistakes") == contact_sheet(cases, "Mistakes")
