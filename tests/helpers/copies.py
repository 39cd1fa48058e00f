"""A copy of the repository, with a Git and DVC repository of its own, to run real commands in."""

import copy
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from helpers.repository import NOWHERE, TOP
from PIL import Image
from ruamel.yaml import YAML

from stages.common.files import sha256_of

CLASSES = {"Audio": "red", "Phones": "navy", "Toys": "gold"}


class Copy:
    """The code of this repository at `top`, with other parameters."""

    def __init__(self, top: Path, edit: Callable[[Any], None]) -> None:
        self.top = top
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=TOP,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\n")
        for name in filter(None, listed):
            built = name.split("/")[0] in ("metrics", "plots", "dvc.lock")
            if not built and (TOP / name).is_file():
                (top / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(TOP / name, top / name)
        self.run("git", "init", "--quiet")
        self.run("git", "config", "user.name", "Test")
        self.run("git", "config", "user.email", "test@example.com")
        self.edit(edit)

    @classmethod
    def of(cls, other: Path, top: Path) -> "Copy":
        """Return a copy of another one, with all that was built in it."""
        shutil.copytree(other, top, symlinks=True, dirs_exist_ok=True)
        copied = cls.__new__(cls)
        copied.top = top
        return copied

    def environment(self, **more: str) -> dict[str, str]:
        """Return the variables under which `dvc` and `python` are those of this interpreter.

        No host of published weights can be reached, so that they are random wherever this runs.
        """
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # Bytecode is kept, as it is where a user runs this: a copy's modules are compiled once.
        kept = {"PYTHONDONTWRITEBYTECODE": ""}
        return os.environ | kept | {"PATH": path, "HTTPS_PROXY": NOWHERE} | more

    def clone(self, top: Path) -> "Copy":
        """Clone the last commit to `top`, as someone else does who has no data yet."""
        self.run("git", "clone", "--quiet", str(self.top), str(top))
        clone = copy.copy(self)
        clone.top = top
        return clone

    def run(self, *command: str, **variables: str) -> str:
        """Run a command in the copy, by this interpreter's DVC and Python; return what it says."""
        # Not a pipe: a process that outlives its command would keep it open.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                command,
                cwd=self.top,
                env=self.environment(**variables),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            output.seek(0)
            said = output.read().decode()
        assert done.returncode == 0, said
        return said

    def repro(self, *options: str, **variables: str) -> list[str]:
        """Run `dvc repro`; return the stages that it ran."""
        said = self.run("dvc", "repro", *options, **variables)
        return re.findall(r"^Running stage '(.+)':$", said, re.MULTILINE)

    def stages(self) -> dict[str, Any]:
        """Return each stage as it was run: its `cmd`, and the `deps`, `params` and `outs` of it."""
        return YAML(typ="safe").load(self.top / "dvc.lock")["stages"]

    def outputs(self) -> dict[str, str]:
        """Return the SHA-256 of every file that the stages have written."""
        outs = [self.top / out["path"] for stage in self.stages().values() for out in stage["outs"]]
        files = [file for out in outs for file in (out.rglob("*") if out.is_dir() else [out])]
        return {
            str(file.relative_to(self.top)): sha256_of(file)
            for file in sorted(files)
            if file.is_file() and file.name != ".gitignore"
        }

    def leftovers(self) -> list[Path]:
        """Return what unfinished writes have left."""
        folders = (self.top / name for name in ("data", "models", "metrics", "plots"))
        return [path for folder in folders for path in folder.rglob(".*.part")]

    def start(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command in the copy, in a session of its own; its standard error is a pipe."""
        return subprocess.Popen(
            command,
            cwd=self.top,
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
            **options,
        )

    def killed(self, seconds: float, *command: str) -> None:
        """Run a command and kill it, and whatever it started, after so many seconds.

        What a kill may leave of DVC's own files is mended as docs/robustness.md says: a dvc.lock
        that was not written to its end is taken from Git again, and such a rwlock is removed.
        """
        before = list(self.stages())
        with self.start(*command) as process:
            time.sleep(seconds)
            os.killpg(process.pid, signal.SIGKILL)
        rwlock = self.top / ".dvc/tmp/rwlock"
        with suppress(FileNotFoundError):
            try:
                json.loads(rwlock.read_bytes())
            except ValueError:
                rwlock.unlink()
        if not self._is_readable_by_dvc() or list(self.stages()) != before:
            self.run("git", "checkout", "--quiet", "dvc.lock")

    def _is_readable_by_dvc(self) -> bool:
        """Say whether DVC reads dvc.lock, of which a kill may leave a part."""
        try:
            self.run("dvc", "status")
        except AssertionError as said:
            assert "dvc.lock" in str(said)
            return False
        return True

    def edit(self, change: Callable[[Any], None]) -> None:
        """Change params.yaml."""
        file, yaml = self.top / "params.yaml", YAML()
        content = yaml.load(file)
        change(content)
        yaml.dump(content, file)

    def edit_code(self, name: str, old: str, new: str) -> None:
        """Change a text that stands once in a file of the copy."""
        file = self.top / name
        content = file.read_text(encoding="utf-8")
        assert content.count(old) == 1, f"{name} has {content.count(old)} times {old!r}"
        file.write_text(content.replace(old, new), encoding="utf-8")

    def commit(self) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "state")

    def back(self) -> None:
        """Return to the last commit, data included."""
        self.run("git", "checkout", "--quiet", ".")
        self.run("git", "clean", "--quiet", "--force", "-d")
        self.run("dvc", "checkout", "--quiet", "--force")


def small(params: Any) -> None:
    """Make the default pipeline one of half a minute: fewer products, a small network, no MLP."""
    params["data"]["demo"]["products"] = 240
    params["data"]["min_class_size"] = 5
    params["encoders"]["mobilenet"] = {"kind": "keras", "model": "MobileNet", "input_size": 64}
    params["image"]["encoders"] = ["mobilenet"]
    params["encoders"]["ngrams"]["n_features"] = 1024
    params["fusion"]["svd_components"] = 32
    for name in ("random_forest", "mlp"):
        del params["classifiers"][name]


def own_table(params: Any) -> None:
    """Make the pipeline one of a table with images, a network of each sort and one modality."""
    params["data"] |= {"source": "table", "min_class_size": 5}
    params["data"]["table"]["image_path"] = "image"
    params["split"]["strategy"] = "stratified"  # to `grouped` its products are all near-duplicates
    params["encoders"]["mobilenet"] = {"kind": "keras", "model": "MobileNet"}
    params["image"]["encoders"] = ["mobilenet"]
    for section, kept in (("modalities", "multimodal"), ("classifiers", "svm")):
        for name in set(params[section]) - {kept, "mlp"}:
            del params[section][name]
    params["classifiers"]["mlp"]["max_epochs"] = 3


def write_catalogue(folder: Path, products_per_class: int = 30) -> None:
    """Write the table and the images that `own_table` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = ["sku", "name", "description", "manufacturer", "label", "image"]
    with (folder / "products.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        for at, (label, colour) in enumerate(CLASSES.items()):
            for number in range(products_per_class):
                sku = at * 1000 + number
                image = Image.new("RGB", (40 + number, 60), colour)
                image.save(folder / f"{sku}.png")
                text = f"{label} number {number} in {colour}"
                rows.writerow([sku, f"{label} {number}", text, "Maker", label, f"{sku}.png"])
