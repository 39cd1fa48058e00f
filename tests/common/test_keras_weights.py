"""How Keras is imported."""

import os
import subprocess
import sys

STAND_INS = {
    "triton": "",
    "keras": "class backend:\n    backend = staticmethod(lambda: 'tensorflow')",
}


def test_triton_comes_before_tensorflow_which_would_make_its_import_crash(tmp_path):
    for name, code in STAND_INS.items():
        (tmp_path / f"{name}.py").write_text(f"print({name!r})\n{code}\n")
    command = "from stages.common.keras_weights import import_keras; import_keras()"
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", command], env=env, capture_output=True, text=True)
    assert (run.stdout.split(), run.returncode) == (["triton", "keras"], 0), run.stderr
