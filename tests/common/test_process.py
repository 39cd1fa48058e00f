"""A stage that fails says so in one line and ends with another code than 0."""

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from helpers.repository import TOP

from stages.common.errors import InputError

START = """
    from pathlib import Path
    from stages.common.errors import InputError
    from stages.common.process import run_stage
    from stages.common.files import atomic_file, atomic_folder, write_text
"""


def run(body: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a stage whose `main` has the lines of `body`."""
    text = textwrap.dedent(START) + "def main():\n" + textwrap.indent(textwrap.dedent(body), "    ")
    return subprocess.run(
        [sys.executable, "-c", text + "\nrun_stage(main)\n"],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise InputError('a.csv has no column b')", "error: a.csv has no column b"),
        ("Path('gone.txt').read_text()", "error: gone.txt: No such file or directory"),
        (
            "import os; raise OSError(28, os.strerror(28))",
            f"error: a file: {os.strerror(errno.ENOSPC)}",
        ),
        ("raise OSError('no errno here')", "error: a file: no errno here"),
    ],
    ids=["input", "no file", "disk full", "bare OSError"],
)
def test_what_a_user_can_mend_is_said_in_one_line(tmp_path, body, said):
    ended = run(body, tmp_path)
    assert ended.returncode == 1
    assert ended.stderr == said + "\n"


def test_a_name_that_the_terminal_cannot_show_is_printed_and_ends_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    ended = run("print('3 rows, \\u0442.csv'); write_text(Path('a'), '')", tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "3 rows, \\u0442.csv\n", "")
    assert (tmp_path / "a").exists()


def test_an_error_of_the_program_keeps_its_traceback(tmp_path):
    ended = run("1 / 0", tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Traceback")


def test_a_stage_that_ends_well_says_nothing(tmp_path):
    ended = run("write_text(Path('a'), '')", tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "write",
    [
        "write_text(Path('out/a.txt'), 'x' * 1_000_000)",
        """
        import numpy as np
        import pyarrow as pa
        from stages.common.tables import write_table
        rows = np.random.default_rng(0).random(1_000_000)
        write_table(Path('out/a.parquet'), pa.table({'x': rows}))
        """,
        """
        from tokenizers import Tokenizer, models
        words = {str(number): number for number in range(20_000)}
        with atomic_folder(Path('out/a')) as folder:
            Tokenizer(models.WordLevel(words, '0')).save(str(folder / 'tokenizer.json'))
        """,
        """
        import numpy as np
        from stages.common.openvino import import_openvino
        ov = import_openvino()
        given = ov.opset13.parameter([1, 200], np.float32)
        weights = ov.opset13.constant(np.ones((200, 300), np.float32))
        model = ov.Model([ov.opset13.matmul(given, weights, False, False)], [given], 'a')
        with atomic_folder(Path('out/a')) as folder:
            ov.save_model(model, folder / 'model.xml')
        """,
        """
        import torch
        with atomic_file(Path('out/a')) as part:
            torch.save({'a': torch.zeros(1_000_000)}, part)
        """,
        """
        import numpy as np
        from safetensors.numpy import save_file
        with atomic_file(Path('out/a')) as part:
            save_file({'a': np.zeros(1_000_000)}, part)
        """,
        """
        import shutil
        with atomic_folder(Path('out/a')) as folder:
            shutil.copytree('in', folder / 'a')
        """,
    ],
    ids=["text", "table", "tokeniser", "OpenVINO", "PyTorch", "safetensors", "folder"],
)
def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(tmp_path, write):
    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / "in" / name).write_bytes(bytes(100_000))
    # A file may not grow beyond 64 KB here: the system refuses the write as it does on a full disk.
    limit = """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
    """
    ended = run(textwrap.dedent(limit) + textwrap.dedent(write), tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1
    assert os.strerror(errno.EFBIG) in ended.stderr or "see that the disk has room" in ended.stderr
    assert len(ended.stderr) < 300
    assert list((tmp_path / "out").iterdir()) == []


INTERRUPT = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
signal.pause()
"""


def test_control_c_in_the_middle_of_a_write_is_said_in_one_line_and_leaves_nothing(tmp_path):
    body = "with atomic_file(Path('out/a')) as part:\n    part.write_text('half')"
    ended = run(
        "from stages.common.files import atomic_file\n" + body + textwrap.indent(INTERRUPT, "    "),
        tmp_path,
    )
    assert ended.returncode != 0
    assert ended.stderr == "interrupted: run `dvc repro` again to go on\n"
    assert list((tmp_path / "out").iterdir()) == []


COMPILED = f"""
try:
{textwrap.indent(INTERRUPT, "    ")}
except KeyboardInterrupt as error:
    raise ImportError("initialization failed") from error  # as compiled modules do
"""


@pytest.mark.parametrize("slow", [INTERRUPT, COMPILED], ids=["python", "compiled"])
def test_control_c_while_modules_are_imported_is_said_in_one_line(tmp_path, slow):
    for name in ("__init__", "common/__init__", "common/process", "common/errors"):
        copy = tmp_path / f"stages/{name}.py"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TOP / f"stages/{name}.py", copy)
    (tmp_path / "slow.py").write_text(slow)
    (tmp_path / "stages/any.py").write_text("import slow")
    ended = subprocess.run(
        [sys.executable, "-m", "stages.any"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode != 0
    assert ended.stderr == "interrupted: run `dvc repro` again to go on\n"


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("http://user:pw@x.example/a.zip?key=pw: HTTP 404", "http://x.example/a.zip: HTTP 404"),
        ("(it is 'https://x.example/a?sig=pw#pw')", "(it is 'https://x.example/a')"),
        ("FTP://pw@x.example/a; user:pw@y.example", "FTP://x.example/a; y.example"),
        ("http://x.example/@a, a@b.example: 5", "http://x.example/@a, a@b.example: 5"),
        ("::user:pw@x.example, a:user:pw@b:", "::x.example, b:"),
        # An image as hexadecimal text: with time by the square of it, this does not end.
        ("\\x" + "ffd8" * 500_000, "\\x" + "ffd8" * 500_000),
        ("http://x" * 500_000, "http://x" * 500_000),  # so with URLs that are not parted
    ],
    ids=lambda text: text[:40],
)
def test_secrets_in_urls_are_left_out_of_messages(said, left):
    assert str(InputError(said)) == left
