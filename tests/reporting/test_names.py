"""Names that are too long stay apart from each other, in any script."""

from stages.reporting.names import shortened


def test_a_long_name_lacks_its_middle():
    assert shortened("Cables") == "Cables"
    assert shortened("Cables  and\nplugs", 16) == "Cables and plugs"
    assert shortened("a" * 20 + "b" * 20) == "a" * 13 + "…" + "b" * 14
    assert shortened("线" * 40) == "线" * 6 + "…" + "线" * 7  # each as wide as two letters
    assert shortened("ที่" * 40) == "ที่" * 13 + "…" + "ที่" * 14  # a letter keeps its marks


def test_thousands_of_marks_on_one_letter_make_no_long_name():
    hostile = "a" + "\u0301" * 2000
    assert len(shortened(hostile * 3)) <= 3 * 16
    family = "👨🏻\u200d👩🏻\u200d👧🏻\u200d👦🏻"
    assert shortened(family) == family


def test_categories_of_one_branch_stay_apart():
    branch = "Electronics > TV & Home Theater > Televisions > "
    leaves = ("LED TVs", "OLED TVs", "TV Stands", "Projectors")
    assert len({shortened(branch + leaf, 24) for leaf in leaves}) == len(leaves)
    assert shortened(branch + "OLED TVs") == "Electronics >…ons > OLED TVs"
