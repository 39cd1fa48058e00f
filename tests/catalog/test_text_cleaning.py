"""What is left of the text of a catalogue."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.catalog.text_cleaning import clean


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Pok&#233;mon", "Pokémon"),
        ("Pok&#xE9;mon", "Pokémon"),
        ("Black &amp; White", "Black & White"),
        ("Black &amp;amp; White", "Black & White"),
        ("Pok&amp;#233;mon", "Pokémon"),
        ("a &amp;amp;amp;amp;lt; b", "a < b"),
        ("5&quot; &lt; 6&quot;", '5" < 6"'),
        ("AT&T - R&D", "AT&T - R&D"),
        ("left&center, AT&T; this&nothing;", "left&center, AT&T; this&nothing;"),
    ],
)
def test_entities_are_decoded(text, plain):
    assert clean(text) == plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"Soft:\n\n<ul>\n<li>cotton</li>\n</ul>\nMade here.\n", "Soft: cotton Made here."),
        (r"C:\new and \\nas, \N", r"C:\new and \\nas, \N"),
    ],
)
def test_a_written_line_break_of_an_export_is_white_space(text, plain):
    assert clean(text) == plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<p>One</p><p>Two<br/>Three</p>", "One Two Three"),
        ("<b>Sony</b> TV, H<sub>2</sub>O", "Sony TV, H2O"),
        ('See <a href="http://x.example/a>b" class=c>here</a>', "See here"),
        ("&lt;p&gt;Great&lt;/p&gt;", "Great"),
        ("<UL><LI>One<LI>Two</UL>", "One Two"),
        ("a<!-- not > shown -->b<style>p {}</style>c<script>x()</script>", "a b c"),
        ("a<!-- b --> c <!-- d", "a c <!-- d"),
        ("<table><tr><td nowrap>One<td NOWRAP align=left>Two</table>", "One Two"),
        ('One<iframe src="x" allowfullscreen></iframe>Two<hr noshade/>', "One Two"),
        ('<div class="a"id="b">One</div><a href=\'x\'title="y">Two</a>', "One Two"),
        ("One<o:p></o:p> Two<o:p>&nbsp;</o:p>, hand<wbr>made", "One Two , handmade"),
        ("<![CDATA[<p>One</p>]]>Two", "One Two"),
        ("<!DOCTYPE html><html><p>One", "One"),
        ('<?xml version="1.0"?><?xml:namespace prefix="o" />One', "One"),
        ('<div itemscope itemtype="http://x.example/Product"><p data-v-12ab>One</p></div>', "One"),
        ("<p><![if !supportLists]>1.<![endif]> One</p>", "1. One"),
        ("a<address>b</address><details open><summary>c</summary>d</details>", "a b c d"),
        ('a<picture><source src="x"></picture><svg width="1"><path d="M0 0"/></svg>b', "a b"),
        ("a <b open to all> c, <td now> x]]>", "a <b open to all> c, <td now> x]]>"),
        ("I <3 it", "I <3 it"),
        ("5 < 6 > 4, x<y>z", "5 < 6 > 4, x<y>z"),
        ("<Brand> cable, <b and c> < p", "<Brand> cable, <b and c> < p"),
    ],
)
def test_only_what_is_plainly_a_tag_is_dropped(text, plain):
    assert clean(text) == plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (None, ""),
        ("", ""),
        (" \r\n\t ", ""),
        ("<br><p></p>", ""),
        ("One\r\nTwo\n\n\tThree ", "One Two Three"),
        ("10\u00a0kg\u2009net\u3000now&nbsp;&nbsp;here", "10 kg net now here"),
        ("a\x00b\x07c \x1b d", "abc d"),
        ("a\u200bb\ufeffc\u00add", "abcd"),
        ("half \ud83d a pair", "half a pair"),
        ("Cafe\u0301", "Caf\u00e9"),
        ("日本 ½ ☂ 👩\u200d🚀", "日本 ½ ☂ 👩\u200d🚀"),
    ],
)
def test_characters_and_white_space(text, plain):
    assert clean(text) == plain


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "<!--",
            "--><!--",
            "<script>",
            "<style ",
            "amp;",
            "#38;",
            "<a ",
            ' x="',
            "\u0327\u0301",
            "1",
        ),
        *("<!doctype ", "<![CDATA[", "]]>", " nowrap", "<td nowrap ", 'x="1"', "<td open='1'"),
        *(" data-a", "<p data-aa", "<![if "),
    ],
)
@pytest.mark.parametrize("start", ["", "&", "&#", "<a", "a"])
def test_no_text_takes_for_ever(piece, start):
    # Where time grows by the square of the length, this does not end while one waits.
    clean(start + piece * (1_000_000 // len(piece)))


@pytest.mark.parametrize("entity", [f"&#{'1' * 5000};", "&#1234567890;", f"&#x{'f' * 9};"])
def test_a_number_that_no_character_has_stays(entity):
    assert clean(entity) == entity


@settings(deadline=None, derandomize=True)
@given(st.text(st.characters(codec=None)))
def test_any_text_becomes_one_line_that_can_be_written(text):
    plain = clean(text)
    plain.encode("utf-8")
    assert plain == " ".join(plain.split())
    assert not any(ord(character) < 32 for character in plain)


@settings(deadline=None, derandomize=True)
@given(st.text(st.characters(codec="ascii", exclude_characters="&<", min_codepoint=33)))
def test_plain_text_stays_as_it_is(text):
    assert clean(text) == text.replace("\x7f", "")
