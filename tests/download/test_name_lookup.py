"""Which file a reference means, and which is never guessed."""

import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.download.failures import Failure
from stages.download.name_lookup import NameMatcher, Place, plain

PLACE = Place("the shelf", missing="not there")
MISSING, SEVERAL = Failure("not there"), Failure("several in the shelf")
SAME = Failure("another reference fits the same file")


def match(names, references, above=()):
    """Return what each reference means among `names`, and how many were guessed."""
    matcher = NameMatcher(above)
    return matcher.match(references, set(names).__contains__, lambda: names, PLACE), matcher.guessed


def decomposed(text):
    return unicodedata.normalize("NFD", text)


@pytest.mark.parametrize(
    "reference",
    [
        "images/a.jpg",
        "images\\a.jpg",
        "/images/a.jpg",
        "./images/a.jpg",
        ".\\images\\a.jpg",
        "\\images\\a.jpg",
        "//images//a.jpg",
        "images/./a.jpg",
        "images/x/../a.jpg",
        "data/catalogue/images/a.jpg",
        "/shop/data/catalogue/images/a.jpg",
    ],
)
def test_spellings_of_a_path_are_exact(reference):
    above = ["data/catalogue", "/shop/data/catalogue"]
    assert match(["images/a.jpg"], [reference], above) == ({reference: "images/a.jpg"}, {})


@pytest.mark.parametrize("turn", [(lambda x: x, decomposed), (decomposed, lambda x: x)])
def test_composed_and_decomposed_letters_are_alike(turn):
    of_name, of_reference = turn
    name, reference = of_name("größe/Café.jpg"), of_reference("größe/Café.jpg")
    assert match([name], [reference]) == ({reference: name}, {})


@pytest.mark.parametrize("above", ["", "data/catalogue/", "/shop/data/catalogue/"])
def test_a_path_that_starts_above_is_guessed_like_any_other(above):
    name, folders = decomposed("größe/Café.jpg"), ["data/catalogue", "/shop/data/catalogue"]
    reference = f"{above}größe/Café.jpg"
    assert match([name], [reference], folders) == ({reference: name}, {})
    reference = f"{above}größe/café"
    found = {reference: name}, {"without their ending": 1}
    assert match([name], [reference], folders) == found


@pytest.mark.parametrize("turn", [(lambda x: x, decomposed), (decomposed, lambda x: x)])
@pytest.mark.parametrize("above", ["data/catalogue", "/läden/catalogue"])
def test_a_path_that_starts_with_the_folder_is_compared_below_it(above, turn):
    of_name, of_reference = turn
    name = of_name("mugs/Stühl 0.jpg")
    exact, guess = (f"{above}/mugs/Stühl 0{ending}" for ending in (".jpg", ""))
    exact, guess = of_reference(exact), of_reference(guess)
    assert match([name], [exact], [above]) == ({exact: name}, {})
    way = Counter({"without their ending": 2})
    both = [guess, "mugs/Stühl 0"]  # one path
    assert match([name], both, [above]) == (dict.fromkeys(both, name), way)


@pytest.mark.parametrize(
    ("reference", "way"),
    [
        ("Images/A B.JPG", "in another case"),
        ("images/a b", "without their ending"),
        ("IMAGES/A B", "without their ending"),
        ("a b.jpg", "in a folder that they do not name"),
        ("A B.jpg", "in a folder that they do not name"),
        ("a b", "in a folder that they do not name"),
        ("images/a%20b.jpg", "with %20 and the like decoded"),
    ],
)
def test_the_only_file_that_fits_is_taken_and_counted(reference, way):
    names = ["images/a b.jpg", "images/c.jpg", "images/a b.txt"]
    assert match(names, [reference]) == ({reference: "images/a b.jpg"}, Counter({way: 1}))


@pytest.mark.parametrize(
    ("names", "reference", "result"),
    [
        (["a/1.jpg", "b/1.jpg"], "1.jpg", SEVERAL),
        (["1.JPG", "1.Jpg"], "1.jpg", SEVERAL),
        (["1.jpg", "1.png"], "1", SEVERAL),
        (["a/1.jpg", "b/1.png"], "1", SEVERAL),
        (["a/1.jpg", "b/1.JPG"], "1.jpg", "a/1.jpg"),  # it is spelled so only once
        (["aB.jpg", "Ab.jpg"], "aB", "aB.jpg"),
        (["a/b/1.jpg"], "b/1.jpg", "a/b/1.jpg"),
        (["b/1.jpg"], "a/1.jpg", MISSING),
        (["1.jpg"], "a/1.jpg", MISSING),
        (["xb/1.jpg"], "b/1.jpg", MISSING),
        (["1.txt"], "1", MISSING),
        (["1.jpg"], "", MISSING),
        (["1.jpg"], "/", MISSING),
        (["a.jpg"], "a.jpg/", "a.jpg"),
        ([], "1.jpg", MISSING),
    ],
)
def test_what_fits_is_never_one_of_several_or_of_another_folder(names, reference, result):
    assert match(names, [reference])[0] == {reference: result}


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("C:\\Users\\me\\1.jpg", "a path on a Windows drive, not one in the shelf"),
        ("d:/1.jpg", "a path on a Windows drive, not one in the shelf"),
        ("file:///me/1.jpg", "a file:// address, not a path in the shelf"),
        (
            "HTTPS://x.example/1.jpg",
            "a https:// address, not a path in the shelf",
        ),
        ("../1.jpg", "outside the shelf"),
        ("..\\1.jpg", "outside the shelf"),
        ("a/../../1.jpg", "outside the shelf"),
        ("/../1.jpg", "outside the shelf"),
    ],
)
def test_what_cannot_be_a_path_has_a_reason(reference, reason):
    assert match(["1.jpg", "me/1.jpg"], [reference]) == ({reference: Failure(reason)}, {})


def test_two_references_never_mean_one_file_by_a_guess():
    names = ["lamps/7.jpg"]
    assert match(names, ["7.jpg", "Lamps/7.jpg"]) == ({"7.jpg": SAME, "Lamps/7.jpg": SAME}, {})
    assert match(names, ["7.jpg", "lamps/7.jpg"])[0] == {
        "7.jpg": SAME,
        "lamps/7.jpg": "lamps/7.jpg",
    }
    # Two spellings of one path are one reference.
    assert match(names, ["7.jpg", "./7.jpg"])[0] == dict.fromkeys(["7.jpg", "./7.jpg"], names[0])


def test_names_are_listed_once_and_only_where_a_reference_is_no_name():
    listed = []

    def list_names():
        listed.append(1)
        return [f"a/{number}.jpg" for number in range(10_000)]

    names = set(list_names())
    listed.clear()
    references = [f"a/{number}.jpg" for number in range(100)]
    NameMatcher().match(references, names.__contains__, list_names, PLACE)
    assert listed == []
    matcher = NameMatcher()
    found = matcher.match(
        [f"{number}.jpg" for number in range(10_000)], names.__contains__, list_names, PLACE
    )
    assert len(set(found.values())) == 10_000
    assert matcher.match(["7.jpg"], names.__contains__, list_names, PLACE) == {"7.jpg": "a/7.jpg"}
    assert listed == [1]


def test_a_path_of_many_parts_takes_little_memory():
    deep = "a/" * 30_000 + "1.jpg"
    assert match([deep], ["1.jpg", "a/1.jpg"])[0] == {"1.jpg": SAME, "a/1.jpg": SAME}
    assert match([deep], [deep])[0] == {deep: deep}


PARTS = st.sampled_from(["a", "A", "b", "..", ".", "é", decomposed("é"), "1.jpg", "1.JPG", "1", ""])
PATHS = st.lists(PARTS, min_size=1, max_size=4).flatmap(
    lambda parts: st.sampled_from(["/", "\\"]).map(lambda slash: slash.join(parts))
)


@settings(deadline=None, derandomize=True)
@given(st.lists(PATHS, max_size=8), st.lists(PATHS, max_size=8))
def test_each_reference_has_a_name_or_a_reason_and_no_guess_is_shared(paths, references):
    names = {plain(path) for path in paths}
    found, guessed = match(sorted(names), references)
    assert set(found) == set(references)
    for reference, name in found.items():
        assert isinstance(name, Failure) or name in names
        if plain(reference) in names:
            assert name == plain(reference)
    loose = {
        unicodedata.normalize("NFC", plain(reference)): name
        for reference, name in found.items()
        if isinstance(name, str)
    }
    shared = {name for name, count in Counter(loose.values()).items() if count > 1}
    assert shared == set()
    assert guessed.total() <= len(found)
