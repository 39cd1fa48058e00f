"""Cells that name images are read as a person would read them."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.catalog.image_cells import read_image_cell
from stages.common.image_ref import ImageRef

A, B, C = (
    "http://x.example/a.jpg",
    "https://x.example/b.png?w=1,2",
    "HTTP://x.example/c d|e,f;g.jpg",
)
SCHEMES = ("url", "file", "archive")
PREFIXES = ("file:", "archive:", "demo:", "unusable:")


def references(cell, scheme="url"):
    text = read_image_cell(cell, scheme)
    return [] if text is None else [ImageRef.parse(line) for line in text.split("\n")]


def locations(cell, scheme="url"):
    found = references(cell, scheme)
    assert all(reference.scheme == scheme for reference in found)
    return [reference.location for reference in found]


def reason(cell, scheme="url"):
    (reference,) = references(cell, scheme)
    assert reference.scheme == "unusable"
    return reference.reason


@pytest.mark.parametrize(
    "between", [",", ", ", "|", " | ", ";", "; ", " ", "\n", "\r\n", "\t", ",\u200b"]
)
def test_several_urls_in_a_cell(between):
    assert locations(between.join([A, B, C])) == [A, B, C]
    assert locations(between.join([A, "//x.example/b.jpg"])) == [A, "https://x.example/b.jpg"]


@pytest.mark.parametrize(
    "cell", ["['http://x.example/a", '["http://x.example/a', "[None, 'http://x.example/a"]
)
def test_a_list_that_was_cut_within_its_first_image_is_a_fault(cell):
    assert reason(cell) == "no http:// or https:// at the start"
    assert locations(cell, "file") == [cell]


@pytest.mark.parametrize("cell", ["s3://bucket/a b.jpg", "gs://bucket/a.jpg", "S3://b/ä#1?.jpg"])
def test_an_object_of_a_store_is_an_image_by_url(cell):
    assert locations(cell) == [cell]
    assert locations(f"{cell}, {A}") == [cell, A]
    assert reason(cell, "file") == "a URL: use data.table.image_url"


@pytest.mark.parametrize(
    "write",
    [
        json.dumps,
        str,
        lambda urls: f"[{', '.join(urls)}]",
        lambda urls: json.dumps([{"id": 1, "url": url} for url in urls]),
        lambda urls: json.dumps({key: [500, 400] for key in urls}),
        lambda urls: str([{"alt": "It's a\\b, None", "src": url, "of": None} for url in urls]),
        lambda urls: str({"images": [{"is_main": True, "url": url} for url in urls]}),
        lambda urls: str(dict.fromkeys(urls)).replace(": None", ""),  # a set
        lambda urls: json.dumps({"images": urls}).replace("images", "image").replace("/", "\\/"),
        lambda urls: "[" + " ".join(map(repr, urls)) + "]",
        lambda urls: str([None, *urls, None]),
        lambda urls: json.dumps([None, "", "nan", *urls]),
        lambda urls: ", ".join(f'"{url}"' for url in urls),
    ],
)
def test_lists_as_programs_write_them(write):
    assert locations(write([A, B])) == [A, B]


@pytest.mark.parametrize(
    "url",
    [
        *("http://x.example/a b.jpg", "http://x.example/a,b.jpg", "http://x.example/pipe|1.jpg"),
        *("http://x.example/semi;1.jpg", 'http://x.example/"q".jpg', "http://x.example/x[1].jpg"),
        *(
            "http://x.example/back\\slash.jpg",
            "http://x.example/e\u0301.jpg",
            "http://x.example/日本",
        ),
        *(
            "http://x.example/f_auto,w_3/https://o.example/x.jpg",
            "http://x.example/?u=http://y.example",
        ),
        *(
            "http://x.example/می\u200cخواهم.jpg",
            "http://x.example//a.jpg",
            "http://x.example/50%off.jpg",
        ),
    ],
)
def test_what_is_inside_one_url_is_part_of_it(url):
    assert locations(url) == [url]


@pytest.mark.parametrize(
    ("cell", "url"),
    [
        ("//x.example/a.jpg", "https://x.example/a.jpg"),
        ("http://x.example/?a=1&amp;b=2", "http://x.example/?a=1&b=2"),
        ("http://x.example/?a=1&amp;amp;b=2&#38;c", "http://x.example/?a=1&b=2&c"),
        (f"\ufeff {A}\u200b\u200e ", A),
        (f'"{A}"', A),
        (f"<{A}>", A),
        (f"{A},", A),
        (f"|{A}|", A),
        ("http:\\/\\/x.example\\/a.jpg", A),
    ],
)
def test_a_url_is_taken_as_a_person_would(cell, url):
    assert locations(cell) == [url]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_null_characters_that_fill_a_cell_up_are_no_part_of_a_reference(scheme):
    text = A if scheme == "url" else "a.jpg"
    assert locations(f"{text}\0\0", scheme) == locations(f"\0{text}", scheme) == [text]
    assert references("\0", scheme) == []


def test_the_first_that_can_be_used_comes_first_and_none_counts_twice():
    found = references(f"ftp://b/a.jpg, {A}, nan, {B}, {A}")
    assert [reference.location for reference in found] == [A, B, "ftp://b/a.jpg"]


NOTHING = [None, "", " ", "\u200b", ", ", "nan", "NaN", "None", "<NA>", "null", "NULL", "N/A", "-"]
NOTHING += ["no_selection"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "cell", [*NOTHING, "nan\u200e", "[]", "[null]", "{}", "[None]", '""', "['nan']"]
)
def test_a_missing_value_is_no_image(cell, scheme):
    assert read_image_cell(cell, scheme) is None


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("x.example/a.jpg", "no http:// or https:// at the start"),
        ("127.0.0.1:8899/img/0.jpg", "no http:// or https:// at the start"),
        ("localhost:80/a.jpg", "no http:// or https:// at the start"),
        ("http:/x.example/a.jpg", "no http:// or https:// at the start"),
        ("htp://x.example/a.jpg", "no http:// or https:// at the start"),
        ("demo:blender/1", "no http:// or https:// at the start"),
        ("archive:a.jpg", "no http:// or https:// at the start"),
        ("unusable:x\ty", "no http:// or https:// at the start"),
        ("12345", "no http:// or https:// at the start"),
        ("images/0.jpg", "a file name: use data.table.image_path"),
        ("0.JPEG", "a file name: use data.table.image_path"),
        ("C:\\photos\\0.jpg", "a file name: use data.table.image_path"),
        ("file:///etc/hostname", "a file name: use data.table.image_path"),
        ("file:products.csv", "a file name: use data.table.image_path"),
        ("s3a://bucket/0.jpg", "s3a is not read: use https"),
        ("gcs://bucket/0.jpg", "gcs is not read: use https"),
        ("FTP://x.example/0.jpg", "ftp is not read: use https"),
        (
            "data:image/png;base64,iVBO//OR//|w0K=",
            "an image in the cell itself (data:): use a URL or a file",
        ),
    ],
)
def test_what_is_no_url_has_a_reason_in_the_users_terms(cell, said):
    assert reason(cell) == said
    assert not said.startswith(PREFIXES)


@pytest.mark.parametrize("scheme", ["file", "archive"])
def test_names_of_files(scheme):
    for name in (
        "a b.jpg",
        "a,b.jpg",
        "0007",
        "0007, 8",
        "x/(1) [2].png",
        "archive:a.jpg",
        "a.jpg.bak",
    ):
        assert locations(name, scheme) == [name]
    for cell in (
        "a.jpg, b c.PNG",
        "a.jpg|b c.PNG",
        "a.jpg\nb c.PNG",
        "a.jpg b c.PNG;",
        '["a.jpg", "b c.PNG"]',
    ):
        assert locations(cell, scheme) == ["a.jpg", "b c.PNG"]
    assert locations("\u200bTom &amp; Jerry.jpg\ufeff", scheme) == ["Tom & Jerry.jpg"]
    assert reason("http://x.example/a.jpg", scheme) == "a URL: use data.table.image_url"
    assert reason("ftp://b/a.jpg", scheme) == "ftp is not read: use https"
    assert reason("data:image/png;base64,AA", scheme).startswith("an image in the cell itself")


@pytest.mark.parametrize("scheme", ["file", "archive"])
@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("f/lamp.jpg 2.jpg", ["f/lamp.jpg 2.jpg"]),
        ("lamp.jpg  2.jpg 3.jpg", ["lamp.jpg  2.jpg 3.jpg"]),
        ("f/a.jpg, f/lamp.jpg 2.jpg", ["f/a.jpg", "f/lamp.jpg 2.jpg"]),
        ("f/a.jpg f/b.jpg", ["f/a.jpg", "f/b.jpg"]),
        ("f\\a.jpg f\\b.jpg", ["f\\a.jpg", "f\\b.jpg"]),
        ("a.jpg ; b.jpg", ["a.jpg", "b.jpg"]),
        ("'a.jpg' 'b.jpg'", ["a.jpg", "b.jpg"]),
    ],
)
def test_a_space_is_a_part_of_a_name_unless_a_path_follows(scheme, cell, names):
    assert locations(cell, scheme) == names


def test_an_image_in_a_cell_is_not_carried_along():
    assert len(read_image_cell("data:image/png;base64," + "A" * 10**6, "url")) < 300


MARKS = list(" ,;|\n\t[]{}()<>\"'\\/\u200b\0\ud800")
WORDS = [
    A,
    B,
    "//x.example/a",
    "s3://b",
    "data:,",
    "file:a",
    "a.jpg",
    "nan",
    "None",
    "&amp;",
    "://",
]
PIECES = st.sampled_from([*MARKS, *WORDS, "http://", "unusable:"])


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=20), st.sampled_from(SCHEMES))
def test_any_cell_gives_references_that_can_be_read_back(cell, scheme):
    for reference in references(cell, scheme):
        assert ImageRef.parse(str(reference)) == reference
        assert reference.scheme in (scheme, "unusable")
        assert (reference.reason is not None) == (reference.scheme == "unusable")
        assert not (reference.reason or "").startswith(PREFIXES)


@pytest.mark.parametrize(
    "piece", [" ", ",", '"', "[", "['", "['\\'", "a ", "a.jpg,", "http://a, ", "&amp;"]
)
def test_time_grows_linearly_with_the_cell(piece):
    # Where time grows by the square of the length, this does not end while one waits.
    for scheme in SCHEMES[:2]:
        read_image_cell(piece * (300_000 // len(piece)), scheme)
        for start in ("['", "{'"):
            read_image_cell(start + piece * (300_000 // len(piece)), scheme)


@pytest.mark.parametrize(
    "value",
    [
        {"1": A, "2": B},
        {"main": A, "back": B},
        {"images": [A, B]},
        {"photos": [{"url": A}, {"url": B}], "count": 2},
    ],
)
def test_an_object_by_number_or_kind_of_image_has_its_images_as_values(value):
    assert locations(json.dumps(value)) == [A, B]


@pytest.mark.parametrize("value", [{"id": 5}, [{"id": 5, "width": 400}], {"main": {"id": 5}}])
def test_an_object_in_which_no_image_is_found_is_no_empty_cell(value):
    assert reason(json.dumps(value)) == "no http:// or https:// at the start"


@pytest.mark.parametrize(
    "value",
    [
        *({}, {"url": None, "alt": "Lamp"}, {"image": ""}, {"1": None}),
        {"filename": None, "alt": "Lamp"},
    ],
)
def test_an_object_without_an_image_is_none(value):
    assert references(json.dumps(value)) == []


@pytest.mark.parametrize("write", [json.dumps, str])
@pytest.mark.parametrize(
    "value",
    [
        [{"url": "", "src": A}],
        {"url": [], "src": A},
        {"url": [None, " "], "src": A},
        {"url": "nan", "src": A},
        {"url": {"src": ""}, "link": A},
        {"url": None, "original": A},
        {"url": "", "large": A},
        {"front": A, "name": None},
        {"src": None, "sizes": {"small": [A]}, "alt": "Lamp"},
    ],
)
def test_an_empty_key_of_an_object_hides_no_image(value, write):
    assert locations(write(value)) == [A]


def test_an_empty_key_of_an_object_hides_no_path():
    assert locations('{"url": "", "path": "a.jpg"}', "file") == ["a.jpg"]
    assert reason(json.dumps({"path": "", "full": A}), "file") == (
        "a URL: use data.table.image_url"
    )


@pytest.mark.parametrize("write", [json.dumps, str])
@pytest.mark.parametrize("key", ["path", "filename"])
def test_of_an_object_with_a_url_and_a_path_the_column_says_which_is_meant(key, write):
    cell = write([{"name": "Lamp", "url": A, key: "full/aa.jpg", "status": "downloaded"}])
    assert locations(cell) == [A]
    assert locations(cell, "file") == locations(cell, "archive") == ["full/aa.jpg"]


def test_the_name_of_an_image_is_its_path_only_if_no_other_key_has_one():
    assert locations('{"name": "Lamp", "src": "a.jpg"}', "file") == ["a.jpg"]
    assert locations('{"name": "a.jpg", "src": ""}', "file") == ["a.jpg"]
    assert references('{"name": "Lamp", "src": ""}') == []


def test_time_grows_linearly_with_the_depth_of_an_object():
    depth = 200
    assert references('{"url": ' * depth + '""' + "}" * depth) == []


@pytest.mark.parametrize("name", ["http://host/a\ud83d.jpg", "a\ude00.jpg"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_half_an_emoji_in_a_list_is_named_and_can_be_written(name, scheme):
    found = read_image_cell(json.dumps([name]), scheme)
    assert ImageRef.parse(found).reason == "cut within an emoji: write the name whole"
    assert "a\ufffd.jpg" in found.encode().decode()
    assert read_image_cell(json.dumps([name, "http://b/c.jpg"]), "url").startswith("http://b/c.jpg")


@pytest.mark.parametrize("scheme", ["file", "archive"])
def test_an_image_that_a_cell_holds_as_text_is_named_and_not_kept(scheme):
    (image,) = references("\\x" + "ffd8" * 50_000, scheme)
    assert image.scheme == "unusable" and "an image in the cell itself" in image.reason
    assert len(image.location) < 200
    assert locations("a/" * 2000 + "1.jpg", scheme) == ["a/" * 2000 + "1.jpg"]
