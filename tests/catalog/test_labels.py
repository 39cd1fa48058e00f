"""Labels are cleaned, and those that look alike become one class."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.catalog.labels import clean_label, label_variants, missing_labels


@pytest.mark.parametrize(
    "mark", list("\u200b\u200c\u200d\u200e\u200f\u00ad\u2060\ufeff\u061c\ufe0f\u3164")
)
def test_invisible_marks_are_dropped_wherever_they_are(mark):
    assert clean_label(f"{mark}Ca{mark}fe{mark}\u0301 {mark}\u202aau lait\u202c") == "Café au lait"
    assert clean_label(f" {mark}{mark} ") == ""


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("<Table>", "<Table>"),
        ("&lt;Table&gt;", "<Table>"),
        (" <p>\n</p>\u200b", "<p> </p>"),
        ("<br>Beds", "Beds"),
        ("<b>Beds</b>", "Beds"),
        ("<Unknown>", "<Unknown>"),
        ("Home &amp; Garden", "Home & Garden"),
        ("&nbsp;", ""),
        ("&shy;", ""),
        (None, ""),
    ],
)
def test_markup_is_removed_unless_the_label_is_only_markup(text, label):
    assert clean_label(text) == label


@pytest.mark.parametrize("text", ["</script>", "&lt;SCRIPT&gt;a</script>", "Beds </\u200bscript x"])
def test_a_label_neither_starts_nor_ends_a_script_of_a_page(text):
    label = clean_label(text)
    assert "‹/script" in label and re.search("</?script", label, re.IGNORECASE) is None
    assert clean_label(label) == label


@pytest.mark.parametrize("label", ["home\\nightstands", "women\\new arrivals", "\\north"])
def test_a_backslash_separates_the_parts_of_a_path_and_is_no_line_break(label):
    assert clean_label(label) == label


def test_the_commonest_spelling_stands_for_all_that_look_alike():
    labels = ["CAFÉ", "Café", "Café", "café", "Ｃａｆé", "Lamps", "", "", "Straße", "STRASSE"]
    assert label_variants(labels) == {
        "Café": {"Café": 2, "CAFÉ": 1, "café": 1, "Ｃａｆé": 1},
        "STRASSE": {"STRASSE": 1, "Straße": 1},
    }
    assert next(iter(label_variants(labels)["Café"])) == "Café"
    assert label_variants(labels[::-1]) == label_variants(labels)


def test_other_labels_stay_apart():
    apart = ["Lamp", "Lamps", "Cafe", "Café", "TV", "T V", "1", "01", "1.0", "家电", "家電"]
    assert label_variants(apart * 2) == {}


@settings(deadline=None, derandomize=True)
@given(st.text(max_size=8))
def test_no_format_character_is_left_and_a_label_looks_like_itself(text):
    label = clean_label(text)
    assert not any(unicodedata.category(character) == "Cf" for character in label)
    assert clean_label(label + "\u200b") in (label, clean_label(label))
    assert len(label_variants([label, label.upper(), label.lower(), label.upper()])) <= 1


def test_a_very_long_label_is_no_slower():
    label_variants(["a\u0301\u0323" * 300_000, "A\u0301\u0323" * 300_000])


MISSING = (
    "nan|NaN|None|null|(null)|<NA>|N/A|n/a|NA|-|—|?|...|#N/A|#REF!|unknown|<Unknown>|<br>|<BR>"
    "|<p> </p>"
)
OTHERS = (
    "Nan bread|Nonesuch|Lamps|Other|Blankets|1|C|-18 V|📺|家电|<3|$5|No value packs"
    "|<Table>|<Table Lamps>"
)


def test_labels_that_look_like_missing_values_are_counted():
    labels = [*MISSING.split("|"), *OTHERS.split("|"), "", "None"]
    found = missing_labels(labels)
    assert found == dict.fromkeys(MISSING.split("|"), 1) | {"None": 2}
    assert next(iter(found)) == "None"


@pytest.mark.parametrize("pair", [("10²", "102"), ("m²", "m2"), ("H₂O", "H2O"), ("1½", "11⁄2")])
def test_a_superscript_or_fraction_says_something_else(pair):
    assert label_variants(pair) == {}
