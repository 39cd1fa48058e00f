"""The report in a real browser: what a reviewer sees, and what it leads to."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from helpers import trained_models
from helpers.browser import chromium, opened_tab
from helpers.evaluated import Evaluated
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from stages import report
from stages.reporting.colours import COLOURS

SCRIPT = "<script>document.title='hacked'</script></script><img src=x onerror=alert(1)> Радио"
LONG = "XK90A7" * 60  # a name without a space
LOOKS = [(1280, "light"), (390, "dark")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The report of models of which the text's makes 3 mistakes, both's 1, and the image's 5."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("report"))
        evaluated = Evaluated()
        evaluated.names["s18"] = SCRIPT  # the first test product: each model is wrong about it
        evaluated.names["s19"] = LONG
        evaluated.write(
            {
                f"{modality}-{classifier}": (0 if modality == "multimodal" else 1, wrong)
                for modality, wrong in (("image", 5), ("text", 3), ("multimodal", 1))
                for classifier in ("svm", "mlp")
            }
        )
        for table in Path("plots/pca").glob("*.csv"):  # nine classes with long names
            rows = table.read_text().splitlines()[1:]
            long = [f"s{i},Household and gardens {i % 9},{i % 7},{i % 5}" for i in range(len(rows))]
            long = long[: -1 if table.stem == "image" else None]  # one has no image
            table.write_text("\n".join(["sku,label,x,y", *long]))
        patch.setattr(report, "draw_all", lambda *_: None)  # the page shows none of these
        report.main()
        yield Path("plots/report.html").resolve().as_uri()


@pytest.fixture(scope="module")
def opened(browser: Browser, address: str) -> Iterator[Page]:
    """The report; it must ask nobody for anything, and log nothing."""
    with opened_tab(browser, address) as tab:
        expect(tab.page.locator(".chart.drawn")).not_to_have_count(0)
        yield tab.page
    assert tab.asked == [address] and tab.logged == []


@pytest.fixture
def tab(opened: Page) -> Page:
    """The report as it opens: without a dialog, and with the mistakes of the best model."""
    opened.keyboard.press("Escape")
    opened.get_by_role("button", name="multimodal", exact=True).first.click()
    return opened


CUT = """selector => [...document.querySelectorAll(selector)].filter(text => {
    const [its, all] = [text, text.closest("section")].map(each => each.getBoundingClientRect());
    return its.width && (its.left < all.left || its.right > all.right);
}).map(text => text.textContent)"""


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_every_chart_is_drawn_and_axe_finds_nothing(browser, address, width, scheme):
    with opened_tab(browser, address, width=width, color_scheme=scheme) as tab:
        for name in ("image", "text", "multimodal"):
            for button in tab.page.get_by_role("button", name=name, exact=True).all():
                button.click()
            shown = tab.page.locator(".chart:visible")
            expect(tab.page.locator(".chart.drawn:visible")).to_have_count(shown.count())
            assert Axe().run(tab.page).response["violations"] == []
            assert tab.page.evaluate(CUT, ".chart text, caption") == []
        assert tab.page.locator(".chart svg").count() == tab.page.locator(".chart").count() == 10
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.asked == [address] and tab.logged == []


def test_every_colour_stands_out_from_a_dark_card(browser, address):
    with opened_tab(browser, address, color_scheme="dark") as tab:
        symbol = tab.page.locator("#map .role-legend-symbol path:visible").first
        for colour in COLOURS:
            symbol.evaluate("(path, colour) => path.setAttribute('fill', colour)", colour)
            drawn = Image.open(io.BytesIO(symbol.screenshot())).convert("RGB")
            corner, middle = (0, 0), (drawn.width // 2, drawn.height // 2)
            low, high = sorted(luminance(drawn.getpixel(place)) for place in (corner, middle))
            assert (high + 0.05) / (low + 0.05) >= 3, colour  # WCAG 1.4.11


def luminance(colour) -> float:
    """Return the relative luminance of a colour as WCAG defines it."""
    shares = [one / 255 for one in colour]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in shares]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_on_paper_every_matrix_and_map_is_there_and_nothing_is_cut_off(browser, address):
    with opened_tab(browser, address, width=720) as tab:  # A4
        expect(tab.page.locator(".chart.drawn")).to_have_count(tab.page.locator(".chart").count())
        expect(tab.page.locator("#map svg:visible")).to_have_count(1)
        tab.page.emulate_media(media="print")
        matrices = tab.page.locator(".matrix")
        assert matrices.count() > 1
        for matrix in matrices.all():
            expect(matrix).to_be_visible()
        maps = tab.page.locator("#map figure")
        assert maps.count() == matrices.count()
        for drawn in maps.all():
            expect(drawn.locator("svg")).to_be_visible()
            assert drawn.bounding_box()["height"] > 300
        wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert tab.page.evaluate(wide) <= 0


@pytest.mark.parametrize("width", [1280, 390])
def test_names_that_begin_alike_are_shown_with_their_ends(browser, tmp_path, monkeypatch, width):
    monkeypatch.chdir(tmp_path)
    ends = ["> Blenders", "> Freezers", "> Toasters"]
    names = [f"Home and garden > Kitchen > Appliances {end}" for end in ends]
    monkeypatch.setattr(trained_models, "CLASSES", names)
    monkeypatch.setattr(report, "draw_all", lambda *_: None)
    Evaluated(["svm"]).write()
    report.main()
    with opened_tab(browser, Path("plots/report.html").resolve().as_uri(), width=width) as tab:
        for place in ("thead th[title] span", "tbody th"):
            shown = tab.page.locator(f".matrix:visible {place}").all()
            for name, end in zip(shown, ends, strict=True):
                assert name.inner_text().endswith(end)
                assert name.evaluate("""one => one.scrollWidth <= one.clientWidth
                    && one.scrollHeight <= one.clientHeight""")
        labels = tab.page.locator(".chart[data-chart=classes] text", has_text="…")
        expect(labels).to_have_count(3)
        assert {one[-8:] for one in labels.all_text_contents()} == {end[2:] for end in ends}


def test_what_proves_nothing_is_said_first(tab: Page):
    warnings = tab.locator("header .warning")
    expect(warnings.nth(0)).to_contain_text("RANDOM WEIGHTS in resnet50, convnextv2")
    expect(warnings.nth(1)).to_contain_text("DEMO DATA")


def test_the_headline_has_each_modality_with_its_interval(tab: Page):
    rows = tab.locator("#results tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(1)).to_contain_text(re.compile(r"text.*svm.*0\.7500 \[0\.\d+ to \d\.\d+\]"))
    expect(rows.nth(2)).to_contain_text("best of all")


def test_a_cell_leads_to_its_products_with_the_keyboard(tab: Page):
    tab.get_by_role("button", name="text", exact=True).first.press("Enter")
    mistakes = tab.locator("#confusion button[class^=wrong]:visible")
    assert sum(int(cell.inner_text()) for cell in mistakes.all()) == 3
    cell = tab.get_by_role("button", name="audio, predicted cables, long: 1")
    cell.press("Enter")
    dialog = tab.get_by_role("dialog", name="audio, predicted cables, long")
    card = dialog.locator(".card")
    expect(card).to_have_count(1)
    expect(card).to_contain_text("label: audio")
    expect(card.locator("li")).to_have_text(
        [re.compile(rf"✗ {name}: cables, long, 80\s%") for name in ("image", "text", "multimodal")]
    )
    assert card.locator("img").evaluate("image => image.naturalWidth") == 96
    tab.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    assert cell.evaluate("button => button === document.activeElement")


def test_what_users_wrote_is_text_and_never_runs(tab: Page):
    tab.get_by_role("button", name="audio, predicted cables, long: 1").click()
    expect(tab.get_by_role("dialog")).to_contain_text(SCRIPT)
    assert tab.title() == "Product classifier: report"
    expect(tab.locator("#rejected")).to_contain_text("Cable & <b>Co</b>")


def test_a_probability_stands_behind_a_class_whose_name_runs_to_the_left(tab: Page):
    behind = tab.evaluate("""() => {
        const classes = [...data.classes];
        data.classes.fill("אוזניות בלוטוס");
        show("", [0], 1);
        data.classes.splice(0, classes.length, ...classes);
        const line = document.querySelector("#dialog li"), range = document.createRange();
        const edges = /אוזניות בלוטוס|\\d+\\s%/g;
        const texts = document.createTreeWalker(line, NodeFilter.SHOW_TEXT), found = [];
        while (texts.nextNode()) for (const match of texts.currentNode.data.matchAll(edges)) {
            range.setStart(texts.currentNode, match.index);
            range.setEnd(texts.currentNode, match.index + match[0].length);
            found.push(range.getBoundingClientRect());
        }
        return found[1].left >= found[0].right;
    }""")
    assert behind


def test_a_long_name_without_spaces_is_cut_and_wrapped(tab: Page):
    tab.get_by_role("button", name="image", exact=True).first.click()
    tab.get_by_role("button", name="cables, long, predicted games: 2").click()
    dialog = tab.get_by_role("dialog")
    name = dialog.locator(".card").filter(has_text="s19").locator("strong").inner_text()
    assert len(name) == 160
    head, tail = name.split("…")
    assert LONG.startswith(head) and LONG.endswith(tail) and abs(len(head) - len(tail)) <= 1
    # Its point of the map shows it as the title too.
    tab.evaluate("name => document.getElementById('dialog-title').textContent = name", name)
    assert dialog.evaluate("all => all.scrollWidth <= all.clientWidth")


def test_a_product_without_an_image_says_so(tab: Page):
    tab.get_by_role("button", name="image", exact=True).first.click()
    tab.get_by_role("button", name="cables, long, predicted games: 2").click()
    cards = tab.get_by_role("dialog").locator(".card")
    expect(cards).to_have_count(2)
    expect(cards.filter(has_text="no image")).to_have_count(1)  # s19


def test_a_map_says_of_how_many_products_it_is(tab: Page):
    captions = tab.locator("#map figcaption").all_text_contents()
    for caption, count in zip(captions, (29, 30, 30), strict=True):
        assert f": {count} of 30 products" in caption
    assert "sample" not in tab.locator("#map").inner_text()


def test_a_point_of_the_map_leads_to_its_product(tab: Page):
    tab.locator("#map .chart:visible path[aria-roledescription=point]").first.click()
    expect(tab.get_by_role("dialog").locator(".card")).to_have_count(1)


def test_groups_labels_and_rejected_products_are_there(tab: Page):
    expect(tab.locator("#groups .card")).to_have_count(12)  # six groups of two
    expect(tab.locator("#labels")).to_contain_text("labels look wrong")
    notes = tab.locator("#labels .card > p", has_text="looks like")
    expect(notes.first).to_have_text(re.compile("looks like: \u2068.+\u2069 \\(80%\\)"))
    expect(tab.locator("#rejected")).to_contain_text("no label")
    expect(tab.locator("#rejected")).to_contain_text("HTTP 404")
