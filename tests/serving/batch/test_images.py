"""Images come from files, hosts and archives; one that cannot be used harms its row alone."""

import io
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.batch import labels, products, write_csv
from helpers.http_host import serving
from helpers.models import LABELS, image_of
from helpers.object_store import serving_store

from serving.batch import images
from stages.common.errors import InputError

BAD = {2: b"no image at all", 9: None}  # by row from 0: the file, None where it is not there


def rows_with(column, names):
    """Return products without text, whose images have these names."""
    return [
        {"sku": row["sku"], "name": "", column: name}
        for row, name in zip(products(len(names)), names, strict=True)
    ]


def contents(count):
    """Return image files by name, some of them bad."""
    found = {f"{i}.jpg": image_of(label, i) for i, label in enumerate(labels(count))}
    found |= {f"{i}.jpg": content for i, content in BAD.items()}
    return {name: content for name, content in found.items() if content is not None}


def check(rows, summary, missing):
    """See that each row has its own image, or the reason why it has none."""
    for i, (row, label) in enumerate(zip(rows, labels(len(rows)), strict=True)):
        if i in BAD:
            assert row["label"] is None and row["error"] == "it has no image and no text"
            assert row["image_error"] == (missing if BAD[i] is None else "text")
        else:
            assert (row["label"], row["image_error"]) == (label, None)
            assert row["missing"] == ["text"]
    assert summary.image_errors == {missing: 1, "text": 1}
    assert "2 images could not be used" in summary.words()


def test_images_by_path(tmp_path, predict):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, content in contents(20).items():
        (folder / name).write_bytes(content)
    write_csv(tmp_path / "new.csv", rows_with("image_path", [f"{i}.jpg" for i in range(20)]))
    check(*predict("new.csv", images=folder), "no such file")


@pytest.mark.parametrize("kind", ["path", "url"])
def test_images_in_an_archive(tmp_path, predict, kind, capsys):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in contents(20).items():
            archive.writestr(f"photos/{name}", content)
    write_csv(tmp_path / "new.csv", rows_with("image_path", [f"photos/{i}.jpg" for i in range(20)]))
    if kind == "url":
        with serving() as host:
            host.answers["/a.zip?signature=topsecret"] = [file.getvalue()]
            rows, summary = predict("new.csv", archive=f"{host.url}/a.zip?signature=topsecret")
        said = capsys.readouterr().err
        assert f"unpacks the images in {host.url}/a.zip\n" in said and "topsecret" not in said
    else:
        (tmp_path / "a.zip").write_bytes(file.getvalue())
        rows, summary = predict("new.csv", archive="a.zip")
    check(rows, summary, "not in the archive")


def test_images_in_an_object_store(tmp_path, predict, monkeypatch):
    quick = {"retries": 0, "backoff_s": 0.01}
    monkeypatch.setattr(images, "DOWNLOAD", images.DOWNLOAD.model_copy(update=quick))
    with serving_store(monkeypatch) as store:
        store.objects = {f"shop/photos/{name}": image for name, image in contents(20).items()}
        names = [f"s3://shop/photos/{i}.jpg" for i in range(20)]
        write_csv(tmp_path / "new.csv", rows_with("image_url", names))
        check(*predict("new.csv"), "no such object")


def test_images_that_the_table_holds_as_bytes(tmp_path, predict):
    files = contents(20)
    rows = [
        {"sku": str(i), "name": "", "image_path": {"bytes": files.get(f"{i}.jpg"), "path": None}}
        for i in range(20)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "new.parquet")
    found, summary = predict("new.parquet", images=tmp_path.parent)
    for i, (row, label) in enumerate(zip(found, labels(20), strict=True)):
        assert row["label"] == (None if i in BAD else label)
        assert row["image_error"] == ("text" if i == 2 else None)
    assert summary.errors.total() == 2


def test_images_by_url_are_fetched_once_and_failures_are_asked_for_again(
    tmp_path, predict, monkeypatch
):
    quick = {"retries": 0, "backoff_s": 0.01}
    monkeypatch.setattr(images, "DOWNLOAD", images.DOWNLOAD.model_copy(update=quick))
    with serving() as host:
        host.answers = {f"/{name}": [content] for name, content in contents(20).items()}
        urls = [f"{host.url}/{i}.jpg" for i in range(20)]
        write_csv(tmp_path / "new.csv", rows_with("image_url", urls))
        check(*predict("new.csv"), "HTTP 404")
        host.answers["/9.jpg"] = [image_of(LABELS[9 % 4], 9)]
        rows, _ = predict("new.csv", overwrite=True)
        assert rows[9]["label"] == LABELS[9 % 4]
        assert (host.asked("/9.jpg"), host.asked("/1.jpg")) == (2, 1)


def test_a_host_that_never_answers_is_given_up_for_all_rows(tmp_path, predict, monkeypatch):
    quick = {"retries": 2, "backoff_s": 0.01, "connect_timeout_s": 0.001, "read_timeout_s": 0.001}
    monkeypatch.setattr(images, "DOWNLOAD", images.DOWNLOAD.model_copy(update=quick))
    rows = [
        row | {"image_url": f"http://gone.example/{i}.jpg"} for i, row in enumerate(products(400))
    ]
    asked = []

    def refuse(session, url, **_):
        asked.append(url)
        raise TimeoutError

    monkeypatch.setattr("aiohttp.ClientSession.get", refuse)
    write_csv(tmp_path / "new.csv", rows)
    found, summary = predict("new.csv")
    assert [row["label"] for row in found] == labels(400)
    assert summary.image_errors["its host never answered"] > 300 and len(asked) < 300


def test_an_image_of_many_rows_that_cannot_be_had_is_asked_for_once(tmp_path, predict, monkeypatch):
    quick = {"retries": 1, "backoff_s": 0.01}
    monkeypatch.setattr(images, "DOWNLOAD", images.DOWNLOAD.model_copy(update=quick))
    with serving() as host:
        host.answers["/none.jpg"] = [b"<html>not here</html>"]
        rows = [row | {"image_url": f"{host.url}/none.jpg"} for row in products(40)]
        write_csv(tmp_path / "new.csv", rows)
        found, _ = predict("new.csv")
        assert {row["image_error"] for row in found} == {"a web page"}
        assert host.asked("/none.jpg") == 2  # and tried once more, but not with each part


def test_a_product_whose_image_failed_is_judged_by_its_text(tmp_path, predict):
    rows = [row | {"image_path": "gone.jpg"} for row in products(4)]
    write_csv(tmp_path / "new.csv", rows)
    found, summary = predict("new.csv")
    assert [row["label"] for row in found] == labels(4)
    assert {(row["image_error"], *row["missing"]) for row in found} == {("no such file", "image")}
    assert not summary.errors


def test_a_reference_that_is_none_is_named_in_the_words_of_the_command_line(tmp_path, predict):
    rows = [row | {"image_url": "1.jpg"} for row in products(1)]
    write_csv(tmp_path / "new.csv", rows)
    found, _ = predict("new.csv")
    assert found[0]["image_error"] == "a file name: use --column image_path=..."


def test_the_last_line_has_the_whole_reason_also_one_that_names_a_scheme(tmp_path, predict):
    write_csv(tmp_path / "new.csv", [row | {"image_url": "no address"} for row in products(2)])
    _, summary = predict("new.csv")
    assert "(no http:// or https:// at the start: 2)" in summary.words()


def test_a_model_of_text_reads_no_images(tmp_path, predict):
    write_csv(tmp_path / "new.csv", [row | {"image_path": "gone.jpg"} for row in products(3)])
    found, _ = predict("new.csv", "text")
    assert [(row["label"], row["image_error"]) for row in found] == [
        (label, None) for label in labels(3)
    ]
    assert not (tmp_path / ".cache").exists()


def test_a_damaged_archive_is_refused(tmp_path, predict):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and no more")
    write_csv(tmp_path / "new.csv", rows_with("image_path", ["1.jpg"]))
    with pytest.raises(InputError, match=r"a\.zip is not a zip or tar archive"):
        predict("new.csv", archive="a.zip")
    assert sorted(file.name for file in tmp_path.iterdir()) == [".cache", "a.zip", "new.csv"]
