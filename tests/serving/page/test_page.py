"""The page in a real browser: what a person sees who classifies a product or a table with it."""

import base64
import csv
import io

import pytest
from helpers.models import LABELS, image_of
from playwright.sync_api import Page, expect

SCRIPT = "<img src=x onerror=\"document.title='hacked'\"> Radio"
CONTRASTS = """() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => channels(color).slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    const color = getComputedStyle(element).backgroundColor;
    return channels(color)[3] === 0 ? behind(element.parentElement) : color;
  };
  const hasText = (element) => [...element.childNodes].some(
    (node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  const shown = [...document.body.querySelectorAll("*")].filter(
    (element) => element.checkVisibility() && hasText(element));
  return shown.map((element) => {
    const two = [light(getComputedStyle(element).color), light(behind(element))].sort();
    return [element.textContent.trim().slice(0, 40), (two[1] + 0.05) / (two[0] + 0.05)];
  });
}"""


def classify(tab: Page, name: str) -> None:
    tab.get_by_label("Name").fill(name)
    tab.get_by_role("button", name="Classify", exact=True).click()


def drop(tab: Page, content: bytes, name: str, kind: str) -> None:
    """Drop a file on the field of the image, as from a folder on the desktop."""
    given = [base64.b64encode(content).decode(), name, kind]
    files = tab.evaluate_handle(
        """([content, name, kind]) => {
          const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], name, { type: kind }));
          return transfer;
        }""",
        given,
    )
    for event in ("dragover", "drop"):
        tab.dispatch_event("#drop", event, {"dataTransfer": files})


def test_a_product_is_classified_with_the_keyboard_alone(tab):
    focused = []
    tab.keyboard.press("Tab")  # the image
    focused.append(tab.evaluate("document.activeElement.id"))
    tab.keyboard.press("Tab")
    tab.keyboard.type("Radio 7")
    for _ in range(3):
        focused.append(tab.evaluate("document.activeElement.id"))
        tab.keyboard.press("Tab")
    focused.append(tab.evaluate("document.activeElement.id"))
    assert focused == ["image", "name", "description", "accuracy", "classify"]
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert tab.evaluate(outline) == "solid"
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("status").first).to_contain_text("File as Radios")
    bars = tab.locator("#top li")
    expect(bars).to_have_count(len(LABELS))
    expect(bars.first).to_contain_text("Radios")
    expect(tab.locator("#each")).to_contain_text("Text aloneRadios")
    expect(tab.locator("#missing")).to_contain_text("Judged without an image")


def test_an_image_is_dropped_and_the_products_most_alike_are_shown(tab):
    drop(tab, image_of("Towels", 5), "towel.jpg", "image/jpeg")
    expect(tab.locator("#drop-text")).to_have_text("towel.jpg")
    expect(tab.locator("#preview")).to_be_visible()
    classify(tab, "Towel 5")
    expect(tab.get_by_role("status").first).to_contain_text("File as Towels")
    expect(tab.locator("#each")).to_contain_text("Image aloneTowels")
    near = tab.locator("#neighbors li")
    expect(near).to_have_count(5)
    for i in range(5):
        expect(near.nth(i)).to_contain_text("Towel")
    loaded = "images => images.every((image) => image.complete && image.naturalWidth === 32)"
    assert near.locator("img").count() == 5
    assert near.locator("img").evaluate_all(loaded)
    tab.get_by_role("button", name="Remove the image").click()
    expect(tab.locator("#preview")).to_be_hidden()
    classify(tab, "Towel 5")
    expect(tab.locator("#missing")).to_contain_text("Judged without an image")


def test_what_is_unsure_goes_to_a_person(tab):
    tab.get_by_label("Accuracy").select_option(value="0.995")  # the model reaches it nowhere
    classify(tab, "Lamp 3")
    expect(tab.get_by_role("status").first).to_contain_text("Ask a person")
    tab.get_by_label("Accuracy").select_option(value="0.95")
    classify(tab, "Lamp 3")
    expect(tab.get_by_role("status").first).to_contain_text("File as Lamps")


def test_what_is_wrong_is_said_in_words(tab):
    classify(tab, "")
    expect(tab.get_by_role("alert")).to_contain_text("give an image, a name or a description")
    drop(tab, b"no image", "notes.txt", "text/plain")
    classify(tab, "Lamp 3")
    expect(tab.locator("#missing")).to_contain_text("The image could not be used")
    expect(tab.get_by_role("alert")).to_have_count(0)
    classify(tab, "")
    expect(tab.get_by_role("alert")).to_contain_text("The image could not be used: text")


def test_a_name_is_never_read_as_html(tab):
    classify(tab, SCRIPT)
    expect(tab.locator("#top li").first).to_contain_text("Radios")
    upload(tab, f'name\n"{SCRIPT.replace(chr(34), chr(34) * 2)}"\n'.encode(), "<b>x</b>.csv")
    expect(tab.locator("#download")).to_contain_text("<b>x</b>-predictions.csv")
    assert tab.locator("main img:not(#preview, #neighbors img), #download b b").count() == 0
    assert tab.title() == "Product classifier"


def upload(tab: Page, content: bytes, name: str) -> None:
    tab.get_by_label("Table (.csv)").set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": content}
    )
    tab.get_by_role("button", name="Classify the table").click()


def test_a_csv_comes_back_with_predictions(tab):
    rows = [[f"{i}", f'{LABELS[i % 4][:-1]} {i}, "new"', "ä"] for i in range(300)]
    text = io.StringIO()
    csv.writer(text).writerows([["no", "Title", "note"], *rows])
    upload(tab, text.getvalue().encode(), "new.csv")
    expect(tab.locator("#table-said")).to_contain_text("Done: 300 rows.")
    with tab.expect_download() as download:
        tab.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "new-predictions.csv"
    with download.value.path().open(encoding="utf-8-sig", newline="") as file:
        header, *answers = csv.reader(file)
    assert header[:5] == ["no", "Title", "note", "prediction", "probability"]
    assert [answer[:3] for answer in answers] == rows
    assert [answer[3] for answer in answers] == [LABELS[i % 4] for i in range(300)]


def test_a_table_without_a_name_says_which_column_is_missing(tab):
    upload(tab, b"sku,price\n1,2\n", "prices.csv")
    expect(tab.locator("#table-problem")).to_contain_text("The table has no column 'name'")
    expect(tab.locator("#table-problem")).to_contain_text("it has 'sku', 'price'")
    expect(tab.locator("#table-result")).to_be_hidden()


@pytest.mark.parametrize("width", ["tab", "narrow_tab"])
def test_nothing_is_wider_than_the_window_and_all_can_be_read(width, request):
    tab = request.getfixturevalue(width)
    classify(tab, "")
    expect(tab.get_by_role("alert")).to_be_in_viewport()
    drop(tab, image_of("Lamps", 1), "a" * 200 + ".jpg", "image/jpeg")
    classify(tab, "Lamp " + "endless" * 40)
    expect(tab.locator("#neighbors li").first).to_be_visible()
    upload(tab, b"sku\n1\n", "x.csv")
    expect(tab.locator("#table-problem")).to_be_visible()
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert tab.evaluate("document.body.scrollWidth <= window.innerWidth")
    contrasts = tab.evaluate(CONTRASTS)
    assert len(contrasts) > 30
    assert [(text, ratio) for text, ratio in contrasts if ratio < 4.5] == []


def test_the_key_is_asked_for_where_the_server_wants_one(browser, locked_address, key):
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(locked_address)
    expect(tab.get_by_label("Key")).to_be_focused()
    tab.keyboard.type("wrong")
    tab.keyboard.press("Enter")
    expect(tab.locator("#access")).to_contain_text("does not accept this key")
    tab.get_by_label("Key").fill(key)
    tab.keyboard.press("Enter")
    expect(tab.locator("#access")).to_be_hidden()
    expect(tab.locator("#no-images")).to_be_visible()  # the model sees no images
    classify(tab, "Kettle 2")
    expect(tab.get_by_role("status").first).to_contain_text("File as Kettles")
    tab.reload()
    expect(tab.locator("#model")).to_contain_text("4 classes")
    context.close()


def test_what_was_asked_before_the_key_is_answered_with_it(browser, locked_address, key):
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(locked_address)
    expect(tab.get_by_label("Key")).to_be_focused()
    with tab.expect_response("**/v1/*"):
        classify(tab, "Kettle 2")
    tab.get_by_label("Key").fill(key)
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("status").first).to_contain_text("File as Kettles")
    expect(tab.locator("#model")).to_contain_text("4 classes")
    context.close()


def test_a_key_that_was_pasted_with_an_invisible_character_can_be_corrected(
    browser, locked_address, key
):
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(locked_address)
    tab.get_by_label("Key").fill(f"{key}\u200b")
    tab.keyboard.press("Enter")
    expect(tab.locator("#access")).to_contain_text("does not accept this key")
    tab.get_by_label("Key").fill(f" {key} ")
    tab.keyboard.press("Enter")
    expect(tab.locator("#model")).to_contain_text("4 classes")
    context.close()
