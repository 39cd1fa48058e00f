import io

import numpy as np
from PIL import Image

from stages.evaluation.error_gallery import Case, draw_gallery


def jpeg(seed: int | None) -> bytes:
    """Make a image of noise, the worst to compress, or a blue one."""
    pixels = np.full((224, 224, 3), (0, 0, 255), dtype=np.uint8)
    if seed is not None:
        pixels = np.random.default_rng(seed).integers(256, size=(224, 224, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def case(image: bytes | None, name: str = "A name") -> Case:
    return Case(name, image, "Phones", "Phone Cases", 0.987)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    return {colour for _, colour in image.getcolors(image.width * image.height)}


def test_a_full_gallery_of_noise_stays_small():
    data = draw_gallery([case(jpeg(i), f"Product {i} " * 30) for i in range(20)], "Mistakes")
    assert len(data) < 320_000
    assert opened(data).width > opened(data).height


def test_images_and_words_are_there():
    gallery = opened(draw_gallery([case(jpeg(None))], "Mistakes"))
    assert any(blue > 240 and red < 20 for red, _, blue in colours(gallery))
    below = gallery.crop((0, 165, 208, gallery.height))
    assert (0, 0, 0) in colours(below) and len(colours(below)) > 10


def test_a_product_without_an_image_keeps_its_cell():
    with_one, without = (
        opened(draw_gallery([case(image)], "Mistakes")) for image in (jpeg(None), None)
    )
    assert with_one.size == without.size
    assert (238, 238, 238) in colours(without)


def test_long_names_stay_in_their_cell():
    gallery = opened(draw_gallery([case(None, "Supercalifragilistic" * 9)] * 1, "Mistakes"))
    assert colours(gallery.crop((208, 40, gallery.width, gallery.height))) == {(255, 255, 255)}


def test_without_mistakes_there_is_the_title_alone():
    assert opened(draw_gallery([], "No mistakes")).height == 40


def test_the_same_cases_give_the_same_bytes():
    cases = [case(jpeg(1)), case(None)]
    assert draw_gallery(cases, "Mistakes") == draw_gallery(cases, "Mistakes")
