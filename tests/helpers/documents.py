"""The README and docs/ as tests read them: commands, code, links."""

import re
import shlex
from pathlib import Path

from helpers.repository import TOP

README = TOP / "README.md"
DOCUMENTS = [README, TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").glob("*.md"))]


def text_of(document: Path) -> str:
    """Return the text of a document."""
    return document.read_text(encoding="utf-8")


def blocks(document: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    parts = re.split(r"^```(.*)\n", text_of(document), flags=re.MULTILINE)
    # Text, opening fence, block, closing fence, text, and so on.
    return [parts[i + 1] for i in range(1, len(parts), 4) if parts[i] == language]


def commands(document: Path) -> list[str]:
    """Return the lines of the fenced shell blocks."""
    return [line for block in blocks(document, "sh") for line in block.splitlines() if line]


def code_spans(document: Path) -> list[str]:
    """Return what stands between backticks outside of fenced blocks, line breaks as spaces."""
    prose = re.sub(r"^```.*?^```$", "", text_of(document), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def settings_of(command: str) -> list[str]:
    """Return what the options -S of a command set."""
    words = shlex.split(command)
    return [words[i + 1] for i, word in enumerate(words[:-1]) if word == "-S"]


def readme_command(start: str) -> list[str]:
    """Return the words of the one command in the README that starts with `start`."""
    (command,) = [line for line in commands(README) if line.startswith(start)]
    return shlex.split(command)
