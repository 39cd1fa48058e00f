"""How Keras is imported."""

import os
import subprocess
import sys

STAND_INS = {
    "triton": "",
    "keras": "class backend:\n    backend = staticmethod(lambda: 'tensorflow')",
    "tensorflow": "__version__ = '2.99'",
}
COMMAND = """
from stages.common.keras_weights import import_keras
import_keras()
from openvino.frontend.tensorflow import utils
print(utils.get_environment_setup("tf")["tensorflow"])
"""


def test_what_fails_beside_tensorflow_is_kept_from_it(tmp_path):
    """Triton, which is imported before; and OpenVINO, which is told the version from outside."""
    for name, code in STAND_INS.items():
        (tmp_path / f"{name}.py").write_text(f"print({name!r})\n{code}\n")
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", COMMAND], env=env, capture_output=True, text=True)
    assert run.stdout.split() == ["triton", "keras", "tensorflow", "2.99"], run.stderr
