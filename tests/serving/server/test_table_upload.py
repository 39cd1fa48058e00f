"""A CSV that is sent comes back as it was, with its predictions."""

import asyncio
import csv
import io
from collections.abc import Iterator

import httpx2
import pytest
from fastapi.testclient import TestClient
from helpers.models import LABELS

from serving import Predictor
from serving.server import table_upload
from serving.server.app import create_app
from serving.server.errors import busy
from serving.server.service import Service
from serving.server.settings import ServerSettings

ANSWERS = ["prediction", "probability", "decision", "image_prediction", "text_prediction", "error"]


@pytest.fixture(scope="module")
def client(text_predictor: Predictor) -> Iterator[TestClient]:
    settings = ServerSettings(max_products=4, batch_size=2)
    with TestClient(create_app(text_predictor, settings)) as client:
        yield client


def sent(client: TestClient, content: bytes, **options: object) -> list[list[str]]:
    """Send a CSV; return the rows that come back, the header first."""
    response = client.post("/v1/table", content=content, params=options)
    assert response.status_code == 200, response.text
    separator = ";" if b";" in content else "\t" if b"\t" in content else ","
    text = response.content.decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))


def refusal(client: TestClient, content: bytes, status: int = 422, **options: object) -> str:
    """Send a CSV that is refused; return the reason."""
    response = client.post("/v1/table", content=content, params=options)
    assert response.status_code == status
    return response.json()["detail"]


def test_every_row_and_column_comes_back_in_order(client):
    rows = [[f"{i}", f'{LABELS[i % 4][:-1]} {i}\n"two lines"', "=1+1", ""] for i in range(11)]
    text = io.StringIO()
    csv.writer(text).writerows([["no", " NAME ", "no", ""], *rows])
    header, *answers = sent(client, text.getvalue().encode())
    assert header == ["no", " NAME ", "no", "", *ANSWERS]
    assert [answer[:4] for answer in answers] == rows
    for i, answer in enumerate(answers):
        label, probability, decision, image, of_text, error = answer[4:]
        assert label == of_text == LABELS[i % 4] and not image and not error
        assert 0 < float(probability) <= 1 and decision == "file"


def test_the_accuracy_decides(client):
    content = b"name\nLamp 3\n"
    assert sent(client, content, accuracy=0.95)[1][3] == "file"
    assert sent(client, content, accuracy=0.995)[1][3] == "ask"
    assert "one of 0.9, 0.95" in refusal(client, content, accuracy=0.5)
    assert refusal(client, content, accuracy="abc").startswith("accuracy: Input should be a")


def test_other_options_are_refused_and_named(client):
    content = b"name\nLamp 3\n"
    assert "options acuracy: it takes accuracy" in refusal(client, content, acuracy=0.98)
    assert "accuracy, top" in refusal(client, content, accuracy=0.98, top=3)
    assert "accuracy, accuracy" in refusal(client, content, accuracy=[0.9, 0.98])


def test_a_line_that_names_the_separator_is_no_row_and_counts_as_a_line(client):
    header, row, bad = sent(client, b"sep=;\nname;a,b,c\nKettle;1\nLamp\n")
    assert header[:2] == ["name", "a,b,c"] and row[:3] == ["Kettle", "1", "Kettles"]
    assert bad[-1].startswith("line 4: 1 cells for 2 columns")


def test_an_empty_cell_of_the_only_column_comes_back_in_its_place(client):
    _, *rows = sent(client, b"name\r\nKettle\r\n\r\n\r\nLamp\r\nMug,1\r\n\r\n\r\n")
    assert [row[0] for row in rows] == ["Kettle", "", "", "Lamp", "Mug"]
    assert [row[-1] != "" for row in rows] == [False, True, True, False, True]
    assert rows[-1][-1].startswith("line 6: 2 cells for 1 columns")


@pytest.mark.parametrize(
    "content",
    [
        "title;note\nKettle;é\n".encode("cp1252"),
        "title;note\nKettle;é\n".encode("utf-8-sig"),
        "title\tnote\r\nKettle\té\r\n".encode("utf-16"),
        "\n\ntitle,note\rKettle,é".encode(),
        '"Title","note"\n"Kettle","é"\n'.encode(),
        '"title";"no\nte, of\nours"\r\nKettle;é\r\n'.encode(),
        "sep=;\r\ntitle;note\r\nKettle;é\r\n".encode("utf-8-sig"),
    ],
    ids=[
        "Windows-1252",
        "with a mark",
        "UTF-16",
        "line ends of old",
        "quoted",
        "two lines",
        "of Excel",
    ],
)
def test_any_encoding_and_separator_is_read(client, content):
    header, row = sent(client, content)
    assert header[2:] == ANSWERS
    assert row[:3] == ["Kettle", "é", "Kettles"]


def test_a_row_that_does_not_fit_harms_no_other(client):
    long = "x" * 50_001
    content = f"name,note\nLamp,1\nRadio\nTowel,2,3\n,\n{long},4\nKettle,5\n"
    header, *rows = sent(client, content.encode())
    assert header == ["name", "note", "", *ANSWERS]
    assert [row[3] for row in rows] == ["Lamps", "", "", "", "", "Kettles"]
    errors = [row[-1] for row in rows]
    assert errors[1].startswith("line 3: 1 cells for 2 columns")
    assert rows[2][:3] == ["Towel", "2", "3"] and errors[2].startswith("line 4: 3 cells")
    assert "no text" in errors[3]
    assert "the name has more than 50,000 characters" in errors[4]
    assert errors[0] == errors[5] == ""
    assert [row[5] for row in rows] == ["file", "ask", "ask", "ask", "ask", "file"]


def test_a_cell_may_be_of_any_length(client):
    limit = csv.field_size_limit(131_072)
    try:
        long = "x" * 200_000
        _, *rows = sent(client, f"name,note\nLamp,{long}\n{long},1\nRadio,2\n".encode())
    finally:
        csv.field_size_limit(limit)
    assert [row[2] for row in rows] == ["Lamps", "", "Radios"]
    assert rows[0][1] == long
    assert "the name has more than 50,000 characters" in rows[1][-1]


def test_a_table_that_was_here_before_keeps_its_columns(client):
    header, row = sent(client, b"name,prediction,Error\nLamp,mine,none\n")
    assert header[:3] == ["name", "prediction", "Error"]
    assert header[3:] == ["prediction_2", *ANSWERS[1:5], "error_2"]
    assert row[:4] == ["Lamp", "mine", "none", "Lamps"]


def test_images_are_not_fetched_and_a_note_says_so(client):
    response = client.post("/v1/table", content=b"name,image_url\nLamp,http://localhost/x\n")
    assert response.status_code == 200
    assert "Only texts were judged" in response.headers["X-Note"]
    assert response.headers["X-Rows"] == "1"


@pytest.mark.parametrize("column", ["Bild", "Images", "Image Src", "main_image_url", "photo 1"])
def test_an_image_column_of_any_shop_or_of_the_training_is_noted(
    client_with, text_predictor, monkeypatch, column
):
    own = {"sku": "sku", "name": "name", "image_path": "Bild", "image_url": None}
    file = text_predictor.file.model_copy(update={"table": own})
    monkeypatch.setattr(text_predictor, "file", file)
    content = f"name,description,{column}\nLamp,bright,x.jpg\n".encode()
    response = client_with(text_predictor).post("/v1/table", content=content)
    assert "Only texts were judged" in response.headers["X-Note"]


def test_a_table_like_that_of_training_is_read_whole(client_with, text_predictor, monkeypatch):
    own = {"sheet": "name", "sku": "name", "name": "Titel", "description": "Text", "label": "title"}
    file = text_predictor.file.model_copy(update={"table": own})
    monkeypatch.setattr(text_predictor, "file", file)
    client = client_with(text_predictor)
    product = {"name": "One", "description": "Kettle of steel"}
    alone = client.post("/v1/predict", json={"products": [product]}).json()["predictions"][0]
    _, row = sent(client, b"name,titel,title,text\nLamp,One,Radios,Kettle of steel\n")
    assert row[4] == "Kettles" and float(row[5]) == pytest.approx(alone["probability"], abs=1e-5)


def test_a_text_that_the_model_reads_and_the_table_lacks_is_named_in_a_note(client):
    response = client.post("/v1/table", content=b"name,long_text\nLamp,bright\n")
    assert response.headers["X-Note"].startswith("Judged without description, which the model")
    response = client.post("/v1/table", content=b"name,description\nLamp,bright\n")
    assert "X-Note" not in response.headers


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the table has no rows"),
        (b"name\n", "the table has no rows"),
        (b"sku,price\n1,2\n", "no column 'name' (or 'title') and no 'description'; it has 'sku'"),
        (
            b"Our shop,\n\nname,price\nLamp,2\n",
            "'Our shop', '': rename the column with the products' ",
        ),
        (b"Our shop,\n\nname,price\nLamp,2\n", "names, and remove rows above the header"),
        (b"name,Name\n1,2\n", "2 columns 'name': rename one"),
        (b"PK\x03\x04 a workbook", "save it as CSV"),
        (b"\0\1\2\3", "the file is no text"),
        (b"\xff\xfen\0a\0m", "damaged"),
        (b'name\n"Lamp\nRadio\n', "line 2 cannot be read"),
        (b"name\n" + b"Lamp\n" * 21, "more than 20 rows"),
        (b"name\n" + b"," * 300_000 + b"\nLamp\nLamp\n", "line 2 has 300,001 cells"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_the_reason(
    client, monkeypatch, content, reason
):
    monkeypatch.setattr(table_upload, "MAX_ROWS", 20)
    assert reason in refusal(client, content)


def test_a_busy_server_refuses_at_first_and_later_is_waited_for(client, monkeypatch):
    predict, calls = Service.predict, []

    async def busy_at(self, products, options):
        calls.append(len(products))
        if len(calls) in turns:
            raise busy("too many wait")
        return await predict(self, products, options)

    monkeypatch.setattr(Service, "predict", busy_at)
    monkeypatch.setattr(table_upload, "RETRY_S", 0)
    turns = {1}
    assert "too many" in refusal(client, b"name\nLamp\n", status=429)
    turns = {3, 4}
    _, *rows = sent(client, b"name\n" + b"Lamp\n" * 10)
    assert [row[1] for row in rows] == ["Lamps"] * 10


def test_when_the_server_stops_the_rows_that_are_left_say_so(text_predictor, monkeypatch):
    predict = Service.predict

    async def stop_after(self, products, options):
        found = await predict(self, products, options)
        self.is_stopping = True
        return found

    monkeypatch.setattr(Service, "predict", stop_after)
    with TestClient(create_app(text_predictor, ServerSettings(max_products=4))) as client:
        _, *rows = sent(client, b"name\n" + b"Lamp\n" * 10)
    assert [row[1] for row in rows] == ["Lamps"] * 4 + [""] * 6
    assert {row[-1] for row in rows[4:]} == {"the server stops: send the row again"}


def test_a_table_too_large_is_refused(client, monkeypatch):
    monkeypatch.setattr(table_upload, "MAX_BYTES", 20)
    assert "more than 20 bytes" in refusal(client, b"name\n" + b"Lamp\n" * 10, status=413)


def test_only_so_many_tables_are_in_memory_at_once(text_predictor, monkeypatch):
    predict, content = Service.predict, b"name\n" + b"Lamp\n" * 20

    async def all_at_once() -> None:
        go_on, started = asyncio.Event(), asyncio.Semaphore(0)

        async def slow(self, products, options):
            started.release()
            await go_on.wait()
            return await predict(self, products, options)

        monkeypatch.setattr(Service, "predict", slow)
        app = create_app(text_predictor, ServerSettings(max_products=4))
        transport = httpx2.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://server") as client,
        ):

            async def send() -> int:
                return (await client.post("/v1/table", content=content)).status_code

            first = [asyncio.create_task(send()) for _ in range(table_upload.AT_ONCE)]
            for _ in first:
                await started.acquire()
            assert await send() == 429
            go_on.set()
            assert await asyncio.gather(*first) == [200, 200]
            assert await send() == 200

    asyncio.run(asyncio.wait_for(all_at_once(), 60))


def test_a_form_is_refused(client):
    response = client.post("/v1/table", files={"file": b"name\nLamp\n"})
    assert response.status_code == 415
    assert "send the CSV itself" in response.json()["detail"]
