"""Put an encoder's weights where the embedding finds them, and say what they are.

Reads params.yaml; writes data/weights/<encoder>/: the weights and a manifest (kind, origin,
revision, sha256). It is the only stage that looks for weights on the network.
"""

import argparse
from pathlib import Path

from stages.common.files import atomic_folder
from stages.common.process import run_stage
from stages.encoders.base import module_of
from stages.encoders.weights.manifest import write_manifest
from stages.params import load_params


def main() -> None:
    """Fetch the weights of the encoder that the command line names."""
    params = load_params()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", required=True, choices=list(params.encoders))
    name = parser.parse_args().encoder
    settings = params.encoders[name]
    with atomic_folder(Path("data/weights") / name) as folder:
        manifest = module_of(settings.kind).fetch(settings, folder, params.weights, params.seed)
        write_manifest(folder, manifest)
    print(f"{name}: {manifest.kind} weights, {manifest.origin}, sha256 {manifest.sha256}")


if __name__ == "__main__":
    run_stage(main)
