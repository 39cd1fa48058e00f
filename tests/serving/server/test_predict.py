"""What /v1/predict answers to good products and bad ones."""

import base64
import codecs
import gzip
import io

import PIL.Image
import pytest
from helpers.models import LABELS, image_of, row_of
from helpers.servers import in_json

PREDICT = "/v1/predict"


def product(label, number=0, **changes):
    return in_json({**row_of(label, number), **changes})


def ask(client, *products, **options):
    answer = client.post(PREDICT, json={"products": list(products), **options})
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def png(size, colour="white"):
    file = io.BytesIO()
    PIL.Image.new("RGB", size, colour).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_the_answers_are_those_of_the_predictor_in_order(client, predictor):
    rows = [row_of(label, number) for number in range(3) for label in LABELS]
    wanted = predictor.predict(rows)
    found = ask(client, *(product(label, number) for number in range(3) for label in LABELS))
    assert [one["sku"] for one in found] == [row["sku"] for row in rows]
    for one, prediction in zip(found, wanted, strict=True):
        assert one["label"] == prediction.label
        assert one["decision"] == prediction.decision
        assert one["probability"] == pytest.approx(prediction.probability, abs=1e-6)
        assert [c["label"] for c in one["top"]] == [c.label for c in prediction.top]
        assert one["image"]["label"] == prediction.image.label
        assert (one["missing"], one["image_error"], one["error"]) == ([], None, None)
        assert one["neighbors"] is None


def test_accuracy_and_top_change_the_answer(client):
    sure, unsure = (
        ask(client, product("Lamps"), accuracy=accuracy, top=top)[0]
        for accuracy, top in ((0.9, 1), (0.995, 4))
    )
    assert (sure["decision"], len(sure["top"])) == ("file", 1)
    assert (unsure["decision"], len(unsure["top"])) == ("ask", 4)


def test_neighbors_are_training_products_with_their_images(client):
    [found] = ask(client, product("Lamps", 1), neighbors=2)
    assert [near["label"] for near in found["neighbors"]] == ["Lamps", "Lamps"]
    thumbnail = base64.b64decode(found["neighbors"][0]["thumbnail"])
    assert PIL.Image.open(io.BytesIO(thumbnail)).format == "JPEG"


def test_one_bad_image_is_said_and_harms_no_other_product(client):
    good, *bad = ask(
        client,
        product("Radios", 1),
        product("Radios", 1, image="no base64!"),
        product("Radios", 1, image=base64.b64encode(b"<html>404</html>").decode()),
        product("Radios", 1, image="/etc/passwd"),
        {"image": "////"},
    )
    assert (good["label"], good["image_error"]) == ("Radios", None)
    assert [one["image_error"] for one in bad[:2]] == ["no valid base64", "a web page"]
    for one in bad[:3]:  # judged by its text
        assert (one["label"], one["missing"], one["error"]) == ("Radios", ["image"], None)
    assert (bad[3]["label"], bad[3]["decision"]) == (None, "ask")
    assert bad[3]["error"]


def test_an_image_may_be_a_data_url_or_have_line_breaks(client):
    plain, url, lines = ask(
        client,
        {"image": png((9, 9), "red")},
        {"image": "data:image/png;base64," + png((9, 9), "red")},
        {"image": base64.encodebytes(base64.b64decode(png((9, 9), "red"))).decode()},
    )
    assert plain == url == lines
    assert plain["image_error"] is None


def test_images_are_refused_by_bytes_and_by_pixels(client_with):
    client = client_with(max_megapixels=1, max_image_bytes=9000)
    wide, heavy, good = ask(
        client,
        {"name": "Lamp", "image": png((2000, 501))},
        {"name": "Lamp", "image": base64.b64encode(bytes(9001)).decode()},
        {"name": "Lamp", "image": png((1000, 1000))},
    )
    assert wide["image_error"] == "more than 1 megapixels"
    assert heavy["image_error"] == "more than 9,000 bytes"
    assert (good["image_error"], wide["label"], heavy["label"]) == (None, "Lamps", "Lamps")


def test_json_may_have_a_byte_order_mark_as_powershell_writes_it(client):
    body = b'{"products": [{"name": "Lamp"}]}'
    json_type = {"Content-Type": "application/json"}
    answers = [
        client.post(PREDICT, content=content, headers=json_type)
        for content in (body, codecs.BOM_UTF8 + body)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()


def test_a_form_has_one_product_and_its_file(client, predictor):
    row = row_of("Towels", 2)
    fields = {name: row[name] for name in ("sku", "name", "description")}
    answer = client.post(
        PREDICT, data={**fields, "top": "2"}, files={"image": ("a.jpg", row["image"])}
    )
    [found] = answer.json()["predictions"]
    [wanted] = predictor.predict([{**fields, "image": row["image"]}])
    assert (found["sku"], found["label"], len(found["top"])) == (row["sku"], "Towels", 2)
    assert found["probability"] == pytest.approx(wanted.probability, abs=1e-6)
    assert found["missing"] == []


def test_a_file_that_is_too_large_is_said(client_with):
    client = client_with(max_image_bytes=100)
    answer = client.post(PREDICT, data={"name": "Lamp"}, files={"image": ("a", bytes(101))})
    [found] = answer.json()["predictions"]
    assert (found["label"], found["image_error"]) == ("Lamps", "more than 100 bytes")


def test_a_form_without_a_chosen_file_has_no_image(client):
    answer = client.post(PREDICT, data={"name": "Lamp"}, files={"image": ("", b"")})
    assert answer.status_code == 200
    assert answer.json()["predictions"][0]["missing"] == ["image"]


def test_a_model_of_text_does_not_look_at_images(client_with, text_predictor):
    [found] = ask(client_with(text_predictor), {"name": "Lamp", "image": "no base64!"})
    assert (found["label"], found["missing"], found["image_error"]) == ("Lamps", [], None)


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ("", 400, "the body"),
        ("{", 400, "the body"),
        ("[" * 100_000, 400, "the body"),
        (b'{"products": [{"name": "\xff"}]}', 400, "the body"),
        ('{"products": [{"name": "\\ud800"}]}', 400, "the body"),
        ("[]", 422, "the body"),
        ("{}", 422, "products"),
        ('{"products": []}', 422, "products"),
        ('{"products": [1]}', 422, "products.0"),
        ('{"products": [{}, {"name": 3}]}', 422, "products.1.name"),
        ('{"products": [{"image": 3}]}', 422, "products.0.image"),
        ('{"products": [{"titel": "a"}]}', 422, "products.0.titel"),
        ('{"products": [{}], "top": 0}', 422, "top"),
        ('{"products": [{}], "top": 1e999}', 422, "top"),
        ('{"products": [{}], "neighbors": 11}', 422, "neighbors"),
        ('{"products": [{}], "accuracy": 0.5}', 422, "accuracy: the model has no threshold for"),
        ('{"products": [{}], "accuracy": NaN}', 422, "accuracy"),
        ('{"products": [{}], "accuracy": ' + "9" * 400 + "}", 422, "accuracy"),
        ('{"products": [{}], "accuracy": ' + "9" * 5000 + "}", 400, "the body"),
        ('{"products": [' + ",".join(["{}"] * 21) + "]}", 413, "products: 21"),
        ('{"products": [{"name": "' + "a" * 50_001 + '"}]}', 422, "products.0.name"),
    ],
)
def test_a_malformed_request_is_refused_and_the_field_named(client, body, status, named):
    answer = client.post(PREDICT, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"].startswith(named)


@pytest.mark.parametrize(
    ("fields", "files", "named"),
    [
        ({"nam": "Lamp"}, {"image": b"x"}, "nam"),
        ({"top": "many"}, {"image": b"x"}, "top"),
        ({}, {"name": b"x"}, "name: a file"),
        ({"image": "a"}, {"image": b"x"}, "image: is there twice"),
    ],
)
def test_a_wrong_field_of_a_form_is_named(client, fields, files, named):
    answer = client.post(PREDICT, data=fields, files=files)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(named)


def test_a_form_that_is_none_is_refused(client):
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert client.post(PREDICT, content=b"rubbish", headers=kind).status_code == 400
    kind = {"Content-Type": "multipart/form-data"}
    assert client.post(PREDICT, content=b"rubbish", headers=kind).status_code == 400


def form(end="\r\n--B--\r\n", name="description"):
    head = "--B\r\nContent-Disposition: form-data; name="
    return f'{head}"name"\r\n\r\nLamp\r\n{head}"{name}"\r\n\r\nOf glass{end}'.encode()


def test_a_form_that_breaks_off_is_refused(client):
    kind = {"Content-Type": "multipart/form-data; boundary=B"}
    assert client.post(PREDICT, content=form(), headers=kind).status_code == 200
    for end in ("", "\r\n", "\r\n--B", "\r\n--B\r\n"):
        answer = client.post(PREDICT, content=form(end), headers=kind)
        assert (answer.status_code, "no closing boundary" in answer.text) == (400, True)


@pytest.mark.parametrize("charset", ["undefined", "idna", "punycode", "unicode_escape", "utf-7"])
def test_a_form_in_an_odd_charset_is_refused(client, charset):
    kind = {"Content-Type": f"multipart/form-data; boundary=B; charset={charset}"}
    answer = client.post(PREDICT, content=form(name="\\ud800"), headers=kind)
    assert (answer.status_code, f"in {charset}: send it in UTF-8" in answer.text) == (415, True)


@pytest.mark.parametrize("charset", ["UTF-8", "ISO-8859-1"])
def test_a_form_may_name_its_charset(client, charset):
    kind = {"Content-Type": f'multipart/form-data; boundary=B; charset="{charset}"'}
    content = form().replace(b"Lamp", "Lamp é".encode(charset))
    [found] = client.post(PREDICT, content=content, headers=kind).json()["predictions"]
    assert found["label"] == "Lamps"


def test_other_media_types_and_options_in_the_url_are_refused(client):
    answer = client.post(PREDICT, data={"name": "Lamp"})
    assert (answer.status_code, "urlencoded" in answer.text) == (415, True)
    assert client.post(PREDICT, content=b"{}").status_code == 415
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = client.post(PREDICT, content=gzip.compress(b"{}"), headers=packed)
    assert (answer.status_code, "packed" in answer.text) == (415, True)
    answer = client.post(f"{PREDICT}?accuracy=0.99", json={"products": [{}]})
    assert (answer.status_code, "into the body" in answer.text) == (422, True)


def test_image_urls_are_refused_where_no_host_is_named(client):
    url = "http://127.0.0.1:1/a.jpg"
    [found] = ask(client, {"name": "Lamp", "image_url": url})
    assert (found["label"], found["missing"]) == ("Lamps", ["image"])
    assert "fetches no images" in found["image_error"]
    [found] = ask(client, {"name": "Lamp", "image_url": url, "image": png((9, 9))})
    assert "give one of them" in found["image_error"]


def test_the_image_alone_is_enough(client):
    image = base64.b64encode(image_of("Kettles", 7)).decode()
    [found] = ask(client, {"image": image})
    assert (found["label"], found["missing"], found["text"]) == ("Kettles", ["text"], None)
