"""A function of TensorFlow is converted on every Python."""

import numpy as np

from stages.common.openvino import import_openvino
from stages.encoders.backends.tensorflow import import_tensorflow, openvino_model


def test_a_function_is_converted_where_openvino_fails_to_ask_for_the_version(monkeypatch):
    openvino, tf = import_openvino(), import_tensorflow()
    from openvino.frontend.tensorflow import utils

    def ask(framework):  # so it goes from Python 3.13 on
        raise NameError("name 'tensorflow' is not defined")

    monkeypatch.setattr(utils, "get_environment_setup", ask)
    double = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec((1, 3), tf.float32)])
    network = openvino.compile_model(openvino_model(double), "CPU")
    assert network(np.array([[1, 2, 3]], np.float32))[0].tolist() == [[2, 4, 6]]
