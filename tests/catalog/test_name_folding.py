"""What of a name is folded away as a variant of the product, in any language."""

import random
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stages.catalog.name_folding import fold_names
from stages.catalog.tokens import tokenize


class Language(NamedTuple):
    """Words for products of a small shop, and how a name is put together."""

    brands: str
    things: str
    colours: str
    sizes: str
    pattern: str


LANGUAGES = {
    "English": Language(
        "Dolvar Tamsel Orvik Brunna",
        "Kettle Chair Lamp Tent",
        "black white red blue",
        "small large",
        "{brand} {thing} {model}, {size}, {colour}",
    ),
    "colour first": Language(
        "Dolvar Tamsel Orvik Brunna",
        "Kettle Chair Lamp Tent",
        "black white red blue",
        "small large",
        "{brand} {colour} {size} {thing} {model}",
    ),
    "French": Language(
        "Dolvar Tamsel Orvik Brunna",
        "Bouilloire Chaise Lampe Tente",
        "noire blanche rouge bleue",
        "petite grande",
        "{thing} {brand} {model} {colour} - {size}",
    ),
    "Russian": Language(
        "Долвар Тамсел Орвик Брунна",
        "Чайник Стул Лампа Палатка",
        "чёрный белый красный синий",
        "малый большой",
        "{brand} {thing} {model}, {colour}, {size}",
    ),
    "Arabic": Language(
        "دولفار تامسل اورفيك برونا",
        "غلاية كرسي مصباح خيمة",
        "أسود أبيض أحمر أزرق",
        "صغير كبير",
        "{thing} {brand} {model} {colour} {size}",
    ),
    "Chinese": Language(
        "云牌 山牌 海牌 石牌",
        "水壶 椅子 台灯 帐篷",
        "红色 黑色 白色 蓝色",
        "大号 小号",
        "{brand}{thing}{model}型{colour}{size}",
    ),
    "Japanese": Language(
        "雲社 山社 海社 石社",
        "湯沸 椅子 灯火 天幕",
        "レッド ブラック ホワイト ブルー",
        "大型 小型",
        "{brand}{thing}{model}号 {colour} {size}",
    ),
    "Korean": Language(
        "구름 바다 하늘 나무",
        "주전자 의자 램프 텐트",
        "검정 하양 빨강 파랑",
        "소형 대형",
        "{brand} {thing} {model} {colour} {size}",
    ),
    "Thai": Language(
        "เมฆ ภูเขา ทะเล หิน",
        "กาต้มน้ำ เก้าอี้ โคมไฟ เต็นท์",
        "สีแดง สีดำ สีขาว สีฟ้า",
        "เล็ก ใหญ่",
        "{thing}{brand}{model}{colour}{size}",
    ),
}


def shop(language: Language) -> tuple[list[str], list[str], list[int]]:
    """Return names, classes and families: one family for each brand and class."""
    names, labels, families = [], [], []
    for thing in language.things.split():
        for model, brand in enumerate(language.brands.split()):
            for colour in language.colours.split():
                for size in language.sizes.split():
                    names.append(
                        language.pattern.format(
                            brand=brand, thing=thing, model=model, colour=colour, size=size
                        )
                    )
                    labels.append(thing)
                    families.append(len(set(labels)) * 10 + model)
    return names, labels, families


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
def test_families_are_found_in_any_language(language):
    names, labels, families = shop(language)
    folded = fold_names(names, labels, [""] * len(names))
    assert None not in folded
    assert len(set(zip(folded, families, strict=True))) == len(set(folded)) == len(set(families))


def test_the_order_of_products_does_not_matter():
    names, labels, _ = shop(LANGUAGES["English"])
    before = dict(zip(names, fold_names(names, labels, [""] * len(names)), strict=True))
    rows = list(zip(names, labels, strict=True))
    random.Random(0).shuffle(rows)
    names, labels = map(list, zip(*rows, strict=True))
    assert dict(zip(names, fold_names(names, labels, [""] * len(names)), strict=True)) == before


def folded_beside_a_shop(*names: str, manufacturer: str = "") -> list[str | None]:
    """Fold names that stand in a class of their own, beside a shop that has colours and sizes."""
    others, labels, _ = shop(LANGUAGES["English"])
    return fold_names(
        [*others, *names],
        [*labels, *["Other"] * len(names)],
        [*[""] * len(others), *[manufacturer] * len(names)],
    )[len(others) :]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Incipio - feather Case - Red", "Incipio - feather Case - Blue"),
        ("Incipio - feather Case - Dazzling White", "Incipio - feather Case - Black/Silver"),
        ("SanDisk - Ultra 16GB Card", "SanDisk - Ultra 128 GB Card"),
        ('LG - 49" Class LED TV', 'LG - 55.5" Class LED TV'),
        ("Cable - 3' HDMI", "Cable - 10' HDMI"),
        ("Duracell - AA Batteries (4-Pack)", "Duracell - AA Batteries (20-Pack)"),
        ("Acme - Glasses (Set of 2)", "Acme - Glasses (Set of 12)"),
        ("Best Buy GC - $20 Birthday Gift Card", "Best Buy GC - $1,000 Birthday Gift Card"),
        ("La Cuisine - Small Deep Roaster - Ruby Red", "La Cuisine - Large Deep Roaster - White"),
        ("GE - 24.8 Cu. Ft. Refrigerator - White", "GE - 28.5 Cu. Ft. Refrigerator - Black"),
        ("Adonit - Jot Pro Stylus - Gunmetal", "Adonit - Jot Pro Stylus - Red"),
    ],
)
def test_colours_sizes_packs_and_prices_are_folded_away(one, other):
    one, other = folded_beside_a_shop(one, other)
    assert one == other is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Case for iPhone 6", "Case for iPhone 7"),
        ("Galaxy S6", "Galaxy S7"),
        ("Epson - 159 Ink Cartridge - Black", "Epson - 220 Ink Cartridge - Black"),
        ("Acme - Infrared Sensor", "Acme - Inf Sensor"),
        ("LG - 1080p TV", "LG - 2160p TV"),
        ("Logitech - Red Mouse", "Logitech - Red Keyboard"),
        ("Halo: Reach - Xbox 360", "Fable - Xbox 360"),
    ],
)
def test_models_are_not_folded_away(one, other):
    one, other = folded_beside_a_shop(one, other)
    assert one != other


def test_products_that_differ_in_a_letter_of_their_model_are_no_family():
    names = [f"{thing} model {letter}" for thing in ("Lamp", "Chair", "Mug") for letter in "ABCDEF"]
    folded = fold_names(names, [name.split()[0] for name in names], [""] * len(names))
    assert len(set(folded)) == len(names)


@pytest.mark.parametrize("name", ["", "Black", '32" - 16GB - Red', "Insignia - Red", "Insignia"])
def test_a_name_of_which_only_the_manufacturer_is_left_has_no_duplicates(name):
    assert folded_beside_a_shop(name, manufacturer="Insignia") == [None]


@settings(deadline=None, derandomize=True)
@example([("£0A", "A", "")])  # a price goes, and leaves a part of what was a word with it
@given(st.lists(st.tuples(st.text(), st.sampled_from("AB"), st.sampled_from(["", "Maker"]))))
def test_any_names_are_folded_to_a_part_of_themselves(rows):
    names, labels, manufacturers = ([row[i] for row in rows] for i in range(3))
    for name, folded in zip(names, fold_names(names, labels, manufacturers), strict=True):
        words = tokenize(name)
        left = [] if folded is None else folded.split(" ")
        assert all(any(part in word for word in words) for part in left)


@pytest.mark.parametrize("text", ["{} ", "{} x ", "{}."])
def test_a_description_for_a_name_takes_no_longer_than_its_length(text):
    # Time and memory that grew with the square of the length would be minutes and gigabytes here.
    names = ["".join(text.format(i % (40 + shop)) for i in range(20_000)) for shop in range(4)]
    folded = fold_names(names, ["a", "a", "b", "b"], ["c"] * 4)
    assert len(folded) == 4 and all(folded)
