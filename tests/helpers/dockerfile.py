"""The Dockerfile, read and run step by step in a folder, as far as that goes without an engine."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from helpers.repository import TOP

DOCKERFILE = TOP / "Dockerfile"
_OWN = re.compile(r"(?<![\w./$])/(?=opt|app|requirements)")  # paths that the Dockerfile makes


@dataclass
class Stage:
    """A stage: its name and its steps, such as ("RUN", "python -m venv /opt/venv")."""

    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def of(self, kind: str) -> list[str]:
        """Return the arguments of all steps of a kind."""
        return [text for step, text in self.steps if step == kind]


def stages(**arguments: str) -> list[Stage]:
    """Return the stages, with the build's arguments filled in."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    known: dict[str, str] = {}
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        kind, _, rest = line.partition(" ")
        rest = re.sub(r"\$\{(\w+)\}", lambda match: known[match[1]], rest)
        if kind == "ARG":
            name, _, default = rest.partition("=")
            known[name] = arguments.get(name, default)
        elif kind == "FROM":
            found.append(Stage(rest.partition(" AS ")[2]))
        elif kind:
            found[-1].steps.append((kind, rest))
    return found


def is_sent(path: str) -> bool:
    """Return whether .dockerignore lets a file of the repository through.

    The last pattern decides that is that of the file or of a folder above it.
    """
    names = [path, *map(str, PurePosixPath(path).parents)]
    sent = True
    for line in (TOP / ".dockerignore").read_text(encoding="utf-8").split():
        pattern = re.escape(line.removeprefix("!"))
        pattern = pattern.replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(pattern, name) for name in names if name != "."):
            sent = line.startswith("!")
    return sent


def command(text: str) -> list[str]:
    """Return the words of CMD, also where HEALTHCHECK has it."""
    return json.loads(text[text.index("[") :])


class Image:
    """What the steps of all stages leave, in `folder`; `run` executes a command in it.

    Steps that only root of a container may do are left out: `left_out` has them. Without `install`
    those with pip are too, and this process's interpreter takes the place of the one in /opt/venv.
    """

    def __init__(self, folder: Path, *, install: bool, **arguments: str) -> None:
        self.left_out: list[str] = []
        self._install = install
        self._environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
        self._work = "/"
        for number, stage in enumerate(stages(**arguments)):
            self._top, self._work = folder / str(number), "/"
            self._top.mkdir()
            self._earlier = {"build": folder / "0"}
            for kind, text in stage.steps:
                self._do(kind, text)

    def run(self, words: list[str], **variables: str) -> subprocess.Popen[str]:
        """Start a command in the image's working folder, with its environment alone."""
        return subprocess.Popen(
            words,
            cwd=self._path(self._work),
            env=self._environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def files(self) -> set[str]:
        """Return the files of the image."""
        files = (file for file in self._top.rglob("*") if file.is_file())
        return {str(file.relative_to(self._top)) for file in files}

    def _path(self, path: str) -> Path:
        return self._top / PurePosixPath(self._work, path).relative_to("/")

    def _do(self, kind: str, text: str) -> None:
        if kind == "WORKDIR":
            self._work = text
            self._path(text).mkdir(parents=True, exist_ok=True)
        elif kind == "COPY":
            self._copy(text.split())
        elif kind == "ENV":
            given = dict(word.split("=", 1) for word in text.split())
            path = _OWN.sub(f"{self._top}/", given.pop("PATH", "$PATH"))
            self._environment["PATH"] = path.replace("$PATH", self._environment["PATH"])
            self._environment |= given
        elif kind == "RUN":
            self._execute(text)

    def _copy(self, words: list[str]) -> None:
        if words[0].startswith("--from="):
            top, words = self._earlier[words[0].partition("=")[2]], words[1:]
            sources = [top / words[0][1:]]
        else:
            sources = [TOP / word for word in words[:-1]]
        for source in sources:
            if source.is_dir():
                shutil.copytree(source, self._path(words[-1]), symlinks=True, ignore=self._ignored)
            elif source.exists() or self._install:
                shutil.copy2(source, self._path(words[-1]))

    def _ignored(self, folder: str, names: list[str]) -> list[str]:
        place = Path(folder)
        if not place.is_relative_to(TOP):
            return []
        inner = place.relative_to(TOP)
        return [n for n in names if not (place / n).is_dir() and not is_sent(str(inner / n))]

    def _execute(self, text: str) -> None:
        if "useradd" in text or ("pip" in text and not self._install):
            self.left_out.append(text)
            return
        if not self._install:
            text = text.replace("/opt/venv/bin/python", sys.executable)
        subprocess.run(
            ["/bin/sh", "-ec", _OWN.sub(f"{self._top}/", text)],
            cwd=self._path(self._work),
            env=self._environment,
            check=True,
        )
