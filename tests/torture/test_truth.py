"""dvc.yaml says what each stage does: the files it opens and writes, the parameters it reads.

The kernel tells which files were opened, so native libraries and child processes are seen as well.
"""

import ctypes
import json
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers.imports import closure
from helpers.repository import TOP
from ruamel.yaml import YAML

SPIES = Path(__file__).parent / "spies"
REACHES_OUT = ("download_images", "fetch_", "prepare")  # the stages that may use the network
CACHE = ".cache"  # kept from run to run and safe to delete: no dependency and no output

# Declared, and read for other catalogues than a table with pictures beside it, or other encoders.
OTHERS = {
    ("embed_text@ngrams", "backend"),
    ("embed_text@ngrams", "precision"),
    ("embed_text@ngrams", "text.fields"),
    ("prepare", "seed"),
    ("download_images", "data.table.archive"),
}
# Declared for classifiers that tune a network, which are none of the default ones.
FOR_TUNING = {Path("data/images"), Path("data/products.parquet"), Path("data/weights")}
# Declared for a best model that is an ensemble.
FOR_ENSEMBLES = ("package", Path("models/ensemble"))
# Read, and in no output: a command line that names no encoder is refused by the lists, and dvc.yaml
# makes the command from them; how much is kept from run to run says what a run takes, not gives.
NOT_IN_OUTPUTS = {
    ("embed_images", "image.encoders"),
    ("embed_text", "text.encoders"),
    ("embed_images", "cache.max_gb"),
    ("embed_text", "cache.max_gb"),
    # Whether the network is converted for the embedding, which else does it.
    ("fetch_image_weights", "backend"),
    ("fetch_image_weights", "precision"),
    ("fetch_text_weights", "backend"),
    ("fetch_text_weights", "precision"),
    ("train", "jobs"),  # how many processes fit, which give the same bytes,
    *((name, "compute") for name in ("download_images", "embed_images", "embed_text", "train")),
}

# Every stage loads the settings of all rooms and kinds to check params.yaml, and can only refuse by
# them; tests/pipeline/test_dvc_yaml.py holds what else a stage imports against what it declares.
PARAMS = YAML(typ="safe").load(TOP / "params.yaml")
KINDS = [f"encoders/{entry['kind']}" for entry in PARAMS["encoders"].values()]
KINDS += [f"classifiers/{name}" for name in PARAMS["classifiers"]]
CHECK_PARAMS = closure({TOP / f"stages/{name}.py" for name in ("params", *KINDS)})
READ_BY_ALL = {
    file.relative_to(TOP) for file in (*CHECK_PARAMS, *(TOP / "stages").rglob("__init__.py"))
}
# Where a stage computes, on one machine or on a cluster, is in no output either.
READ_BY_ALL |= {file.relative_to(TOP) for file in (TOP / "stages/compute").glob("*.py")}

CLOSED_WRITTEN, CLOSED_READ, MOVED_IN, CREATED, DELETED = 0x8, 0x10, 0x80, 0x100, 0x200
IS_FOLDER = 0x40000000
EVENT = struct.Struct("iIII")


class Watch:
    """Notes which files below a folder are read, and which are written, while the block runs."""

    def __init__(self, top: Path) -> None:
        self.top, self.read, self.written = top, set(), set()

    def __enter__(self):
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._queue = self._libc.inotify_init()
        self._folders = {}
        self._add(self.top)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        return self

    def __exit__(self, *_):
        (self.top / "the end").touch()
        self._thread.join()
        (self.top / "the end").unlink()
        os.close(self._queue)

    def _add(self, folder: Path) -> None:
        mask = CLOSED_WRITTEN | CLOSED_READ | MOVED_IN | CREATED | DELETED
        number = self._libc.inotify_add_watch(self._queue, bytes(folder), mask)
        self._folders[number] = folder
        try:
            inner = list(folder.iterdir()) if folder.is_dir() else []
        except FileNotFoundError:  # a temporary folder that is gone already
            return
        for path in inner:
            if path.is_dir() and path.name not in (".git", ".dvc"):
                self._add(path)

    def _listen(self) -> None:
        while True:
            data, at = os.read(self._queue, 1 << 16), 0
            while at < len(data):
                number, mask, _, size = EVENT.unpack_from(data, at)
                name = data[at + EVENT.size : at + EVENT.size + size].rstrip(b"\0").decode()
                at += EVENT.size + size
                if number not in self._folders:
                    continue
                path = self._folders[number] / name
                if name == "the end":
                    return
                if mask & IS_FOLDER:
                    if mask & (CREATED | MOVED_IN):
                        self._add(path)
                    if mask & MOVED_IN:  # it may be empty
                        self.written.add(path.relative_to(self.top))
                elif mask & CLOSED_READ:
                    self.read.add(path.relative_to(self.top))
                elif mask & (CLOSED_WRITTEN | MOVED_IN | DELETED):
                    self.written.add(path.relative_to(self.top))


def below(path: Path, places) -> bool:
    return any(path.is_relative_to(place) for place in places)


def has_no_file(folder: Path) -> bool:
    """Say whether a folder holds no file at all, as that of networks does but in int8."""
    return folder.is_dir() and not any(path.is_file() for path in folder.rglob("*"))


def unfinished(path: Path, outs) -> bool:
    """Say whether `path` is, or is in, what becomes one of `outs`, or a part of one, when whole.

    A file without a name, which the kernel calls by its number, is gone with its process.
    """
    return (path.name.startswith("#") and path.name[1:].isdecimal()) or any(
        part.startswith(".")
        and part.endswith(".part")
        and below(Path(*path.parts[:at], stem), outs)
        for at, part in enumerate(path.parts)
        for stem in [part[1:].rpartition(".part")[0].rpartition(".")[0]]
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is Linux that tells")
def test_every_stage_opens_and_writes_what_dvc_yaml_names_and_reaches_no_network(copy, tmp_path):
    tried = tmp_path / "tried"
    environment = copy.environment(
        PYTHONPATH=str(SPIES), PYTHONDONTWRITEBYTECODE="1", TRIED=str(tried)
    )
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path)  # so that a module's own file is opened
    wanted = copy.outputs()
    wrong = []
    for name, stage in copy.stages().items():
        deps = [Path(dep["path"]) for dep in stage["deps"]]
        outs = [Path(out["path"]) for out in stage["outs"]]
        with Watch(copy.top) as seen:
            done = subprocess.run(
                stage["cmd"].split(),
                cwd=copy.top,
                env=environment,
                capture_output=True,
                text=True,
            )
        assert done.returncode == 0, done.stderr
        for path in sorted(seen.read - READ_BY_ALL):
            if not (below(path, [*deps, *outs, CACHE, "params.yaml"]) or unfinished(path, outs)):
                wrong.append(f"{name} reads {path} undeclared")
        for path in sorted(seen.written):
            if not (below(path, [*outs, CACHE]) or unfinished(path, outs)):
                wrong.append(f"{name} writes {path} undeclared")
        for dep in deps:
            # test_dvc_yaml.py holds the modules against what is imported under any parameters.
            is_read = any(path.is_relative_to(dep) for path in seen.read)
            is_idle = has_no_file(copy.top / dep) or (
                name.startswith("train") and dep in FOR_TUNING
            )
            is_idle = is_idle or (name, dep) == FOR_ENSEMBLES
            if dep.parts[0] != "stages" and not is_read and not is_idle:
                wrong.append(f"{name} never reads {dep}")
        for out in outs:
            if not (below(out, seen.written) or any(p.is_relative_to(out) for p in seen.written)):
                wrong.append(f"{name} never writes {out}")
        if not name.startswith(REACHES_OUT) and tried.exists():
            wrong.append(f"{name} reaches out: {tried.read_text()}")
        tried.unlink(missing_ok=True)
    assert wrong == []
    assert copy.outputs() == wanted


def leaves(content, place=""):
    """Yield the place of each value of params.yaml that is no mapping."""
    for key, value in content.items():
        at = f"{place}.{key}".removeprefix(".")
        if isinstance(value, dict):
            yield from leaves(value, at)
        else:
            yield at


def another(value):
    """Return another value than `value`, of its type where it has one."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case list():
            return value[::-1] if len(value) > 1 else [*value, *value] or ["x"]
        case _:
            return f"{value}x"


def changed(copy, place: str) -> set[str]:
    """Change one value of params.yaml; return the stages that DVC would rerun for it, directly."""

    def change(params):
        *above, key = place.split(".")
        for part in above:
            params = params[part]
        params[key] = another(params[key])

    before = (copy.top / "params.yaml").read_bytes()
    copy.edit(change)
    try:
        status = json.loads(copy.run("dvc", "status", "--json"))
    finally:
        (copy.top / "params.yaml").write_bytes(before)
    return {
        name
        for name, changes in status.items()
        for entry in changes
        if isinstance(entry, dict) and "params.yaml" in entry.get("changed deps", {})
    }


def test_every_stage_declares_what_parameters_it_reads_and_reruns_for_each(copy, tmp_path):
    wrong, readers = [], {}
    for name, stage in copy.stages().items():
        short = name.partition("@")[0]
        declared = list(stage.get("params", {}).get("params.yaml", {}))
        notes = tmp_path / "reads.json"
        subprocess.run(
            ["python", SPIES / "reads.py", notes, *stage["cmd"].split()[2:]],
            cwd=copy.top,
            env=copy.environment(PYTHONPATH=str(copy.top)),
            capture_output=True,
            check=True,
        )
        found = json.loads(notes.read_text())
        for place in found["read"]:
            if f"{place}.".startswith(tuple(f"{key}." for key in declared)):
                readers.setdefault(place, set()).add(name)
            elif (short, place) not in NOT_IN_OUTPUTS:
                wrong.append(f"{name} reads {place} undeclared")
        everything = [*found["read"], *found["touched"]]
        for key in declared:
            if not {(short, key), (name, key)} & OTHERS and not any(
                f"{place}.".startswith(f"{key}.") for place in everything
            ):
                wrong.append(f"{name} never reads {key}")
    assert wrong == []
    for place in leaves(YAML(typ="safe").load(TOP / "params.yaml")):
        if place in readers:
            missed = readers[place] - changed(copy, place)
            if missed:
                wrong.append(f"a change of {place} does not rerun {missed}")
    assert wrong == []
