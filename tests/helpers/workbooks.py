"""Workbooks drawn for tests: the least that .xlsx, .ods and .xls need, in the bytes of a file.

Each function takes the rows of each sheet. A cell is a text, a number, a bool, a date, or None.
"""

import datetime
import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

Sheets = Mapping[str, Sequence[Sequence[Any]]]

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_ODF = "urn:oasis:names:tc:opendocument:xmlns:"
_EPOCH = datetime.date(1899, 12, 30)


def _zip(members: Mapping[str, str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def xlsx(sheets: Sheets, merged: Sequence[str] = ()) -> bytes:
    """Return an Excel workbook; its dates are numbers with the format of dates.

    In each sheet, cells are `merged`: ranges such as A1:A3.
    """
    ranges = "".join(f'<mergeCell ref="{one}"/>' for one in merged)
    ending = f"<mergeCells>{ranges}</mergeCells>" if merged else ""
    numbers = range(1, len(sheets) + 1)
    named = "".join(
        f'<sheet name={quoteattr(name)} sheetId="{i}" r:id="r{i}"/>'
        for i, name in zip(numbers, sheets, strict=True)
    )
    targets = "".join(
        f'<Relationship Id="r{i}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{i}.xml"/>'
        for i in numbers
    )
    styles = f'<Relationship Id="s" Type="{_OFFICE}/styles" Target="styles.xml"/>'
    members = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/'
        'content-types"><Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}"><Relationship Id="r1" '
        f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
        f"<sheets>{named}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}">{targets}{styles}'
        "</Relationships>",
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><cellXfs count="2"><xf numFmtId="0"/>'
        '<xf numFmtId="14"/></cellXfs></styleSheet>',
    }
    for i, rows in zip(numbers, sheets.values(), strict=True):
        lines = "".join(
            f'<row r="{r}">{"".join(map(_xlsx_cell, row))}</row>'
            for r, row in enumerate(rows, start=1)
        )
        members[f"xl/worksheets/sheet{i}.xml"] = (
            f'<worksheet xmlns="{_MAIN}"><sheetData>{lines}</sheetData>{ending}</worksheet>'
        )
    return _zip(members)


def _xlsx_cell(value: Any) -> str:
    match value:
        case None:
            return "<c/>"
        case bool():
            return f'<c t="b"><v>{int(value)}</v></c>'
        case int() | float():
            return f"<c><v>{value!r}</v></c>"
        case datetime.date():
            return f'<c s="1"><v>{(value - _EPOCH).days}</v></c>'
        case _:
            return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def ods(sheets: Sheets) -> bytes:
    """Return an OpenDocument spreadsheet."""
    tables = "".join(
        f"<table:table table:name={quoteattr(name)}>"
        + "".join(
            f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>" for row in rows
        )
        + "</table:table>"
        for name, rows in sheets.items()
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    spaces = " ".join(f'xmlns:{name}="{_ODF}{name}:1.0"' for name in ("office", "table", "text"))
    return _zip(
        {
            "mimetype": kind,
            "META-INF/manifest.xml": f'<manifest:manifest xmlns:manifest="{_ODF}manifest:1.0">'
            f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{kind}"/>'
            "</manifest:manifest>",
            "content.xml": f"<office:document-content {spaces}><office:body><office:spreadsheet>"
            f"{tables}</office:spreadsheet></office:body></office:document-content>",
        }
    )


def _ods_cell(value: Any) -> str:
    match value:
        case None:
            return "<table:table-cell/>"
        case bool():
            kind = f'"boolean" office:boolean-value="{str(value).lower()}"'
        case int() | float():
            kind = f'"float" office:value="{value!r}"'
        case datetime.date():
            kind = f'"date" office:date-value="{value.isoformat()}"'
        case _:
            kind = '"string"'
    text = f"<text:p>{escape(value)}</text:p>" if isinstance(value, str) else ""
    return f"<table:table-cell office:value-type={kind}>{text}</table:table-cell>"


def xls(sheets: Sheets) -> bytes:
    """Return an Excel 97 workbook, whose cells are texts and numbers."""
    parts = [_biff_sheet(rows) for rows in sheets.values()]
    names = [_record(0x85, bytes(6) + _short_text(name, "<B")) for name in sheets]
    start = len(_bof(5)) + sum(map(len, names)) + 4
    stream, ends = _bof(5), b""
    for name, part in zip(names, parts, strict=True):
        stream += name[:4] + struct.pack("<I", start) + name[8:]
        start += len(part)
        ends += part
    return _compound_file((stream + _record(0x0A, b"") + ends).ljust(4096, b"\0"))


def _record(kind: int, content: bytes) -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def _bof(kind: int) -> bytes:
    return _record(0x809, struct.pack("<HHHHII", 0x600, kind, 0, 1997, 0, 0))


def _short_text(text: str, length: str) -> bytes:
    units = text.encode("utf-16-le")
    return struct.pack(length, len(units) // 2) + b"\x01" + units


def _biff_sheet(rows: Sequence[Sequence[Any]]) -> bytes:
    cells = b""
    for r, row in enumerate(rows):
        for c, value in enumerate(row):
            place = struct.pack("<HHH", r, c, 0)
            if isinstance(value, str):
                cells += _record(0x204, place + _short_text(value, "<H"))
            elif value is not None:
                cells += _record(0x203, place + struct.pack("<d", value))
    return _bof(0x10) + cells + _record(0x0A, b"")


def _compound_file(stream: bytes) -> bytes:
    """Return a file of the format of OLE 2 with the stream `Workbook` alone."""
    n = -(-len(stream) // 512)
    free, end, fat_sector = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
    assert n + 2 <= 128, "one sector of addresses is all there is"
    chain = [fat_sector, end, *range(3, n + 2), end]
    fat = struct.pack("<128I", *chain, *[free] * (128 - len(chain)))
    head = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16)
    head += struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    head += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, end, 0, end, 0)
    head += struct.pack("<109I", 0, *[free] * 108)

    def entry(name: str, kind: int, child: int, first: int, size: int) -> bytes:
        text = name.encode("utf-16-le")
        packed = text.ljust(64, b"\0") + struct.pack("<HBB", len(text) + 2, kind, 1)
        return packed + struct.pack("<III36xIII", free, free, child, first, size, 0)

    folder = entry("Root Entry", 5, 1, end, 0) + entry("Workbook", 2, free, 2, len(stream))
    return head + fat + folder.ljust(512, b"\0") + stream.ljust(n * 512, b"\0")
