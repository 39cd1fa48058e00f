import io

import numpy as np
import pytest
from PIL import Image

from stages.evaluation.error_gallery import Case, draw_gallery, error_gallery
from stages.evaluation.metrics import LabeledPredictions
from stages.evaluation.predictions import Model, PredictionSet
from stages.evaluation.typesetting import uncovered_scripts


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
    assert min(map(max, colours(below))) < 20 and len(colours(below)) > 10


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


def drawn(name: str, label: str = "Phones", prediction: str = "Cases") -> Image.Image:
    return opened(draw_gallery([Case(name, None, label, prediction, 0.5)], "Mistakes"))


SCRIPTS = {
    "Chinese": ("无线蓝牙耳机", "灯具"),
    "Japanese": ("キーボード", "マウス"),
    "Korean": ("무선 키보드", "마우스"),
    "Russian": ("Наушники", "Лампы"),
    "Greek": ("Ακουστικά", "Λάμπες"),
    "Arabic": ("سماعات", "مصابيح"),
    "Hebrew": ("אוזניות", "מנורות"),
    "Thai": ("กาต้มน้ำ", "โคมไฟ"),
    "Hindi": ("कुंजीपटल", "दीपक"),
    "Tamil": ("விசைப்பலகை", "விளக்கு"),
    "emoji": ("🎧🎮", "⚽🛒"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_names_and_labels_are_readable_in_any_script(script: str):
    one, other = SCRIPTS[script]
    assert uncovered_scripts([one, other]) == {}
    images = [drawn(one), drawn(other), drawn("Lamp", label=one), drawn("Lamp", prediction=one)]
    assert len({image.tobytes() for image in images}) == 4


def test_a_script_that_runs_to_the_left_starts_at_the_right():
    def ink(name: str) -> tuple[int, ...]:
        name_only = drawn(name).crop((0, 165, 208, 185)).convert("L").point(lambda v: v < 128)
        return name_only.getbbox()

    assert ink("سماعات")[2] > 190 and ink("سماعات")[0] > 100
    assert ink("Lamp")[0] < 12 and ink("Lamp")[2] < 100


def test_letters_that_join_are_joined():
    # Four letters apart are wider than the word that they make.
    def width(name: str) -> int:
        left, _, right, _ = (
            drawn(name).crop((0, 165, 208, 185)).convert("L").point(lambda v: v < 128).getbbox()
        )
        return right - left

    assert width("بببب") < 0.8 * width("ب\u200cب\u200cب\u200cب")


def test_scripts_without_any_font_are_named():
    assert uncovered_scripts(["Lamp \U0010fffe"]) == {}  # no letter, and so not missed
    found = uncovered_scripts(["Lamp", "\U00013000\U00013001", "无"])
    assert found in ({}, {"egyptian": "\U00013000\U00013001"})  # a system may have it


def test_markup_in_a_name_is_shown_as_it_is():
    assert uncovered_scripts(['#set $x$ *b* _i_ \\ @ref <l> "']) == {}
    assert drawn("*bold*").tobytes() != drawn("bold").tobytes()


def test_a_product_without_a_name_is_shown_by_its_sku(tmp_path):
    products = PredictionSet(
        np.array(["sku-1", "sku-2"]),
        np.array(["g1", "g2"]),
        np.array([1, 1]),
        *[LabeledPredictions.from_labels(["a", "b"], ["b", "a"], np.array([[0.9, 0.1]] * 2))] * 2,
    )
    model = Model("text", "svm", products, products, {}, 0, {})
    galleries = [
        error_gallery(model, {"sku-1": name, "sku-2": ""}, []) for name in ("", "sku-1", "lamp")
    ]
    assert galleries[0] == galleries[1] != galleries[2]


def test_the_same_cases_give_the_same_bytes():
    cases = [case(jpeg(1)), case(None)]
    assert draw_gallery(cases, "Mistakes") == draw_gallery(cases, "Mistakes")
