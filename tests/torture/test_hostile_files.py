"""Thousands of damaged files: each ends as what it should be or as a reason, never as a crash."""

import collections
import io
import signal
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.copies import TOP
from helpers.mutations import mutations
from PIL import Image

from stages.catalog.sources import table
from stages.common.errors import InputError
from stages.download.archives import read_members
from stages.download.demo_images import draw
from stages.download.failures import Failure
from stages.download.image_conversion import ImageError, to_jpeg
from stages.params import load_params

SAMPLE = TOP.parent / "shared/bestbuy/images"
DATA = load_params(TOP / "params.yaml").data
COLUMNS = ("sku", "name", "description", "manufacturer", "label")
HANGS_S = 10


@pytest.fixture(autouse=True)
def no_hang():
    """Fail where a test that has been waiting for HANGS_S seconds did not ask for more time."""

    def end(*_):
        raise AssertionError("it hangs")

    signal.signal(signal.SIGALRM, end)
    yield
    signal.alarm(0)


def pictures():
    files = sorted(SAMPLE.glob("*.jpg"))[:3]
    return [file.read_bytes() for file in files] + [draw("demo:phone?look=81&colour=Navy&shot=2")]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF"])
def test_2000_damaged_pictures_of_each_kind_are_pictures_or_refused(kind):
    ends = collections.Counter()
    originals = pictures()
    for number, original in enumerate(originals):
        file = io.BytesIO()
        Image.open(io.BytesIO(original)).convert("RGB").resize((200, 160)).save(file, kind)
        for data in mutations(file.getvalue(), 2000 // len(originals), seed=number):
            signal.alarm(HANGS_S)
            try:
                jpeg = to_jpeg(data, 224)
            except ImageError as error:
                ends[str(error)] += 1
            else:
                assert Image.open(io.BytesIO(jpeg)).size == (224, 224)
                ends["ok"] += 1
    print(kind, dict(ends))
    assert sum(ends.values()) == 2000 // len(originals) * len(originals)
    assert len(ends) > 1


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_2000_damaged_archives_give_each_member_or_a_reason(tmp_path, kind):
    original, names = tmp_path / f"a.{kind}", [f"images/é{number}.jpg" for number in range(5)]
    if kind == "zip":
        with zipfile.ZipFile(original, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, name * 50)
    else:
        with tarfile.open(original, f"w:{kind[4:]}") as archive:
            for name in names:
                entry = tarfile.TarInfo(name)
                entry.size = 99
                archive.addfile(entry, io.BytesIO(bytes(99)))
    for data in mutations(original.read_bytes(), 2000, seed=1):
        signal.alarm(HANGS_S)
        (tmp_path / "damaged").write_bytes(data)
        try:
            found = dict(read_members(tmp_path / "damaged", names, 1000))
        except InputError as error:
            assert "damaged" in str(error)
        else:
            assert set(found) == set(names)
            assert all(isinstance(content, bytes | Failure) for content in found.values())


@pytest.mark.parametrize("kind", ["parquet", "csv", "json", "jsonl"])
def test_2000_damaged_tables_are_read_or_refused(tmp_path, kind):
    rows = [{name: f"{name} é {number}" for name in COLUMNS} for number in range(50)]
    lines = pa.Table.from_pylist(rows).to_pandas()
    original = tmp_path / f"products.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), original)
    elif kind == "csv":
        lines.to_csv(original, index=False)
    else:
        lines.to_json(original, orient="records", lines=kind == "jsonl", force_ascii=False)
    chosen = DATA.table.model_copy(update={"path": f"damaged.{kind}"})
    for content in mutations(original.read_bytes(), 2000, seed=2):
        signal.alarm(HANGS_S)
        (tmp_path / f"damaged.{kind}").write_bytes(content)
        try:
            products = list(table.read(chosen, tmp_path))
        except InputError as error:
            assert f"damaged.{kind}" in str(error)
        else:
            for product in products:
                assert all(
                    text is None or text.encode() is not None for text in vars(product).values()
                )
