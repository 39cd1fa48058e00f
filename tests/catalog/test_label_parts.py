"""Labels that share parts are found, and an ordinary taxonomy is left in peace."""

import pytest

from stages.catalog.label_parts import shared_parts


@pytest.mark.parametrize(
    ("labels", "part"),
    [
        (["Home > Lamps", "Home > Lamps, Sale"], "Home > Lamps"),
        (["Home > Lamps", "Home > Sale|Home > Lamps"], "Home > Lamps"),
        (["Home", "Home > Lamps"], "Home"),
        (["Home", "Home/Lamps"], "Home"),
        (["Home", "Home - Lamps"], "Home"),
        (["Lamps", "Sale, Lamps"], "Lamps"),
        (["Lamps", "Sale;Lamps"], "Lamps"),
        (["Lamps", "Lamps | Sale"], "Lamps"),
        (["Home & Garden", "Lamps, Home & Garden"], "Home & Garden"),
        (["Lamps, Sale", "Sale, Chairs"], "Sale"),
        (["Lamps|Sale", "Sale|Chairs"], "Sale"),
        (["Lamps, Sale", "Chairs, Sale"], "Sale"),
        (["Home > Lamps, Sale", "Home > Chairs, Sale"], "Sale"),
        (["Home > Lamps | Home > Sale", "Home > Chairs | Home > Sale"], "Home > Sale"),
        (["灯具", "灯具 > 台灯"], "灯具"),
    ],
)
def test_labels_of_which_one_product_may_have_two_are_found(labels, part):
    ordinary = ["Toys > Cars", "Toys > Dolls", "Books"]
    found = dict.fromkeys(labels, 2)
    assert shared_parts([*labels, *labels, *ordinary])[part] == found
    assert set(shared_parts([*ordinary, *labels])) <= {part, *labels, "Lamps", "Sale", "Chairs"}


@pytest.mark.parametrize(
    "labels",
    [
        ["Home > Lamps", "Home > Chairs"],
        ["Home/Lamps", "Home/Chairs", "Home/Chairs and tables"],
        ["Men > Shoes", "Women > Shoes", "Men > Shirts"],
        ["Men|Shoes", "Women|Shoes", "Men|Shirts"],
        ["Home, Lamps", "Home, Chairs"],
        ["TV, Audio & Video", "TV & Audio", "Phones, Tablets & Video"],
        ["Men > Hats, Scarves & Gloves", "Women > Hats, Scarves & Gloves"],
        ["Men > Hats, Scarves", "Women > Hats, Scarves"],
        ["Bags > Handbags, Wallets & Cases > Handbags", "Bags > Handbags, Wallets & Cases > Cases"],
        ["Audio > TV, Video > Cables", "Audio > TV, Video > Stands"],
        ["Kabel 1,5 mm", "Kabel 2,5 mm", "Kabel 1"],
        ["Electronics", "Electronics Accessories"],
        ["1", "1/2 inch", "1:64 cars"],
        ["Lamps", "lamps > desk".upper(), "Desk lamps"],
        ["a.b[0]", '6" screens', "$5 & less", "=SUM(A1)", "家电 > 电视", "家电 > 冰箱", ""],
        [],
    ],
)
def test_an_ordinary_taxonomy_shares_nothing(labels):
    assert shared_parts(labels * 2) == {}


def test_ten_thousand_labels_take_no_time():
    assert shared_parts(f"Home > {n % 100} > {n}" for n in range(10_000)) == {}


def test_the_part_that_most_labels_share_comes_first():
    labels = ["Home", "Home > Lamps", "Toys", "Toys > Cars", "Toys > Cars"]
    assert list(shared_parts(labels)) == ["Toys", "Home"]


def test_time_grows_linearly_with_a_label():
    # Where time grows by the square of the length, this does not end while one waits.
    label = "Home > " + ", ".join(["Lamps"] * 200_000)
    assert set(shared_parts([label, "Home"])) == {"Home"}
