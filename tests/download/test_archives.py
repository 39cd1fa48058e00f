"""Members of archives, found by name, and archives that mean harm."""

import io
import tarfile
import zipfile

import pytest

from stages.common.errors import InputError
from stages.download.archives import read_members
from stages.download.failures import Failure

LIMIT = 1000
FORMATS = ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"]


def packed(path, members):
    """Write (name, content) pairs, in their order, to an archive in the format of `path`."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return path
    compression = path.suffix.removeprefix(".").replace("tar", "")
    with tarfile.open(path, f"w:{compression}") as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def read(path, names):
    return dict(read_members(path, names, LIMIT))


@pytest.mark.parametrize("suffix", FORMATS)
def test_members_are_read_by_name_from_every_format(tmp_path, suffix):
    content = {f"images/{number}.jpg": bytes([number]) * 99 for number in range(20)}
    path = packed(tmp_path / f"a.{suffix}", content.items())
    asked = ["images/7.jpg", "images/3.jpg"]
    assert read(path, asked) == {name: content[name] for name in asked}
    assert [name for name, _ in read_members(path, asked, LIMIT)] == sorted(asked)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", ["zip", "tar"])
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("images/1.jpg", b"one"),
        ("./images/1.jpg", b"one"),
        ("images\\1.jpg", b"one"),
        ("1.jpg", b"one"),  # below a leading folder
        ("er/2.jpg", b"two"),
        ("2.jpg", b"two"),
        ("DEEP/er/2.jpg", b"two"),
        ("deep/er/2", b"two"),
        ("2", b"two"),
        ("2017/4/2.jpg", Failure("not in the archive")),  # another folder's
        ("deep/er/2.jpg", b"two"),
        ("3.jpg", Failure("several in the archive")),
        ("b/3.jpg", b"3b"),
        ("9.jpg", Failure("not in the archive")),
        ("images", Failure("not in the archive")),
        ("", Failure("not in the archive")),
    ],
)
def test_how_names_are_found(tmp_path, suffix, asked, found):
    members = [("./images/1.jpg", b"one"), ("deep/er/2.jpg", b"two"), ("a/3.jpg", b"3a")]
    members += [("b/3.jpg", b"3b")]
    assert read(packed(tmp_path / f"a.{suffix}", members), [asked]) == {asked: found}


def test_spellings_of_one_path_are_one_member_and_a_guess_is_not(tmp_path):
    path = packed(tmp_path / "a.zip", [("images/1.jpg", b"one")])
    fits = Failure("another reference fits the same file")
    assert read(path, ["1.jpg", "images/1.jpg", "/images\\1.jpg"]) == {
        "1.jpg": fits,
        "images/1.jpg": b"one",
        "/images\\1.jpg": b"one",
    }
    assert read(path, ["1.jpg", "1"]) == {"1.jpg": fits, "1": fits}


@pytest.mark.parametrize("suffix", ["zip", "tar"])
def test_no_member_of_another_folder_stands_in_for_one_that_is_missing(tmp_path, suffix):
    members = [(f"lamps/000{n}.jpg", b"lamp") for n in range(3)] + [("mugs/0000.jpg", b"mug")]
    path = packed(tmp_path / f"a.{suffix}", members)
    missing = Failure("not in the archive")
    assert read(path, [f"mugs/000{n}.jpg" for n in range(3)]) == {
        "mugs/0000.jpg": b"mug",
        "mugs/0001.jpg": missing,
        "mugs/0002.jpg": missing,
    }


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("suffix", FORMATS)
def test_of_members_with_one_name_the_last_is_read(tmp_path, suffix):
    path = packed(tmp_path / f"a.{suffix}", [("1.jpg", b"old"), ("2.jpg", b"x"), ("1.jpg", b"new")])
    assert read(path, ["1.jpg", "2.jpg"]) == {"1.jpg": b"new", "2.jpg": b"x"}


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_bomb_is_refused_and_the_others_are_read(tmp_path, suffix):
    path = packed(tmp_path / f"a.{suffix}", [("bomb.jpg", bytes(30_000_000)), ("1.jpg", b"one")])
    assert read(path, ["bomb.jpg", "1.jpg"]) == {
        "bomb.jpg": Failure("more than 1,000 bytes"),
        "1.jpg": b"one",
    }


def test_a_zip_that_lies_about_a_size_is_not_believed(tmp_path):
    path = packed(tmp_path / "a.zip", [("bomb.jpg", bytes(30_000_000))])
    data = path.read_bytes()
    size = (30_000_000).to_bytes(4, "little")
    assert data.count(size) == 2
    path.write_bytes(data.replace(size, (10).to_bytes(4, "little")))
    (result,) = read(path, ["bomb.jpg"]).values()
    assert isinstance(result, Failure)


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_names_that_look_like_paths_outside_are_only_names(tmp_path, suffix):
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    absolute = str(tmp_path / "secret.jpg")
    members = [("../secret.jpg", b"inside"), ("/etc/1.jpg", b"absolute")]
    path = packed(folder / f"a.{suffix}", members)
    assert read(path, ["../secret.jpg", absolute]) == {
        "../secret.jpg": b"inside",
        absolute: Failure("not in the archive"),
    }
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize("member_type", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_pipes_are_not_members(tmp_path, member_type):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("1.jpg")
        entry.type, entry.linkname = member_type, "/etc/passwd"
        archive.addfile(entry)
    assert read(path, ["1.jpg"]) == {"1.jpg": Failure("not in the archive")}


def test_a_damaged_member_is_named_and_the_others_are_read(tmp_path):
    noise = bytes(range(256)) * 2
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.jpg", noise)
        archive.writestr("2.jpg", b"two")
    path.write_bytes(path.read_bytes().replace(noise, noise[::-1]))
    assert read(path, ["1.jpg", "2.jpg"]) == {
        "1.jpg": Failure("damaged in the archive"),
        "2.jpg": b"two",
    }


def test_a_member_whose_name_is_no_text_is_damaged(tmp_path):
    path = packed(tmp_path / "a.zip", [("é.jpg", b"one"), ("2.jpg", b"two")])
    data = path.read_bytes()
    name = "é.jpg".encode()
    path.write_bytes(data.replace(name, b"\xff" + name[1:], 1))  # in the member's header
    assert read(path, ["é.jpg", "2.jpg"]) == {
        "é.jpg": Failure("damaged in the archive"),
        "2.jpg": b"two",
    }
    path.write_bytes(data.replace(name, b"\xff" + name[1:]))  # in the table as well
    with pytest.raises(InputError, match="damaged"):
        read(path, ["2.jpg"])


def test_an_encrypted_member_is_a_failure(tmp_path):
    path = packed(tmp_path / "a.zip", [("1.jpg", b"one")])
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag, in the member's header and in the table
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    (result,) = read(path, ["1.jpg"]).values()
    assert isinstance(result, Failure)
    assert "encrypted" in result.reason


@pytest.mark.parametrize("content", [b"", b"<html>Sign in</html>" * 99, b"PK\x03\x04 and no more"])
def test_what_is_not_an_archive_is_an_input_error(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.zip is not a zip or tar archive"):
        read(tmp_path / "a.zip", ["1.jpg"])


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_archive_that_is_cut_short_is_an_input_error(tmp_path, suffix):
    path = packed(tmp_path / f"a.{suffix}", [(f"{n}.jpg", bytes([n]) * 999) for n in range(99)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(InputError, match="damaged"):
        read(path, ["1.jpg"])


def test_an_archive_that_is_not_there_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"a\.zip is not there"):
        read(tmp_path / "a.zip", ["1.jpg"])


def test_a_zip_of_a_mac_has_its_names_in_utf_8_and_does_not_say_so(tmp_path):
    path = packed(tmp_path / "a.zip", [("Stühle/ü.jpg", b"one"), ("plain.jpg", b"two")])
    content = bytearray(path.read_bytes())
    for start, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(start)
        content[at + offset + 1] &= ~0x08  # the flag of a name in UTF-8
    path.write_bytes(content)
    assert zipfile.ZipFile(path).namelist()[0] != "Stühle/ü.jpg"
    asked = {"Stühle/ü.jpg": b"one", "plain.jpg": b"two"}
    assert read(path, asked) == asked


def test_a_hard_link_is_the_file_that_it_names(tmp_path):
    path = packed(tmp_path / "a.tar", [("1.jpg", b"one")])
    links = {"2.jpg": ("1.jpg", tarfile.LNKTYPE), "3.jpg": ("/etc/hostname", tarfile.LNKTYPE)}
    links |= {"4.jpg": ("1.jpg", tarfile.SYMTYPE), "5.jpg": ("1.jpg", tarfile.LNKTYPE)}
    with tarfile.open(path, "a") as archive:
        for name, (target, kind) in links.items():
            entry = tarfile.TarInfo(name)
            entry.linkname, entry.type = target, kind
            archive.addfile(entry)
        last = tarfile.TarInfo("5.jpg")
        last.size = 5
        archive.addfile(last, io.BytesIO(b"other"))
    missing = Failure("not in the archive")
    assert read(path, ["1.jpg", *links]) == {
        "1.jpg": b"one",
        "2.jpg": b"one",
        "3.jpg": missing,
        "4.jpg": missing,
        "5.jpg": b"other",
    }
