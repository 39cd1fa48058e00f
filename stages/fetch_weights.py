"""Put an encoder's weights where the embedding finds them, and say what they are.

Reads params.yaml; writes data/weights/<encoder>/: the weights and a manifest (kind, origin,
revision, sha256). It is the only stage that looks for weights on the network; where this does not
answer, the weights that are there stay. Where OpenVINO will run the network, it is converted while
its framework is loaded, so that the embedding finds it in the cache and loads none.
"""

import argparse
from typing import Any

from stages.common import paths
from stages.common.errors import InputError
from stages.common.process import run_stage
from stages.common.weights_aside import take_back
from stages.encoders.backends.selection import select_backend
from stages.encoders.base import module_of
from stages.encoders.weights.obtain import obtain_weights
from stages.params import load_params


def main() -> None:
    """Fetch the weights of the encoder that the command line names."""
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", required=True, choices=list(params.encoders))
    name = parser.parse_args().encoder
    settings, folder = params.encoders[name], paths.weights(name)
    take_back(folder)
    manifest = obtain_weights(name, settings, folder, params.weights, params.seed)
    if manifest.sha256:
        print(f"{name}: {manifest.kind} weights, {manifest.origin}, sha256 {manifest.sha256}")
    else:
        print(f"{name}: an encoder without weights ({manifest.origin})")
    convert = getattr(module_of(settings.kind), "convert", None)
    if convert and select_backend(settings, params.backend, params.precision).name == "openvino":
        check_output(name, convert(settings, folder)[0])


def check_output(name: str, network: Any) -> None:
    """Raise InputError where a network gives several vectors of one input: others would get them.

    `network` is OpenVINO's, of the encoder `name`.
    """
    rows = network.output(0).get_partial_shape()[0]
    if rows.is_static and rows.get_length() != 1:
        raise InputError(
            f"the network of encoders.{name} gives {rows.get_length()} vectors of one input: "
            "export it so that it gives one, such as their mean"
        )


if __name__ == "__main__":
    run_stage(main)
