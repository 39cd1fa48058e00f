"""Networks of Keras Applications: from files in a folder to what Keras or PyTorch runs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from stages.common.errors import InputError
from stages.common.keras_weights import import_keras, restore_variables

LAYERS_FILE = "model.json"
WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True)
class KerasNetwork:
    """A network in a folder, of images of `size` pixels a side; `model` is its name in Keras."""

    folder: Path
    model: str
    size: int


def application(model: str) -> Any:
    """Return the function of keras.applications that builds a network."""
    applications = import_keras().applications
    known = sorted(name for name in vars(applications) if name[0].isupper())
    if model not in known:
        raise InputError(f"keras.applications has no {model}; it has {', '.join(known)}")
    return getattr(applications, model)


def preprocessing(model: str) -> Any:
    """Return what a network takes of numbers from 0 to 255, which each family has its own way for.

    ResNet50's swaps red and blue and subtracts ImageNet's means, and does not divide by 255.
    """
    return import_module(application(model).__module__).preprocess_input


def network_of_layers(layers: str) -> Any:
    """Build a network from what its `to_json` returned."""
    keras = import_keras()
    keras.backend.clear_session(free_memory=False)
    return keras.models.model_from_json(layers)


def load_network(described: KerasNetwork) -> Any:
    """Return the network in a folder; raises InputError where its files do not fit."""
    path, shape = described.folder / LAYERS_FILE, (described.size, described.size, 3)
    layers = path.read_bytes()
    try:
        network = network_of_layers(layers.decode("utf-8"))
        shapes = network.input_shape, network.output_shape
    except Exception as error:  # whatever Keras stumbles over in a file that is not its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path} holds no layers that Keras can build ({type(error).__name__}: {reason}): "
            f"`dvc repro -f` fetches the network anew"
        ) from None
    if shapes[0] != (None, *shape) or len(shapes[1]) != 2:
        raise InputError(
            f"{path} holds a network from {shapes[0]} to {shapes[1]}, not of images of {shape}: "
            "`dvc repro -f` fetches the right one"
        )
    restore_variables(network, described.folder / WEIGHTS_FILE)
    return network


def torch_module(described: KerasNetwork) -> Any:
    """Return the network in a folder as PyTorch's module of images, (n, height, width, 3)."""
    keras = import_keras("torch")
    import torch

    class OfBytes(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = load_network(described)
            self._preprocess = preprocessing(described.model)

        def forward(self, images: Any) -> Any:
            with keras.device(str(images.device)):  # where Keras puts what it makes meanwhile
                return self.network(self._preprocess(images.float()), training=False)

    return OfBytes()


def blocks_of(described: KerasNetwork) -> list[list[str]]:
    """Return the layers of the network in a folder by name, in blocks, from first to last.

    Between two blocks there is one tensor, which all of the network passes through.
    """
    layers = json.loads((described.folder / LAYERS_FILE).read_bytes())["config"]["layers"]
    reach: dict[str, int] = {}  # the last layer that takes what a layer gives
    for place, layer in enumerate(layers):
        reach |= dict.fromkeys(_taken(layer["inbound_nodes"]), place)
    blocks: list[list[str]] = [[]]
    furthest = 0
    for place, layer in enumerate(layers):
        blocks[-1].append(layer["name"])
        if furthest <= place:  # no later layer takes what came before this one
            blocks.append([])
        furthest = max(furthest, reach.get(layer["name"], place))
    return [block for block in blocks if block]


def _taken(nodes: Any) -> Iterator[str]:
    """Yield the names of the layers whose tensors are described anywhere in `nodes`."""
    if isinstance(nodes, dict):
        if "keras_history" in nodes:
            yield nodes["keras_history"][0]
        nodes = list(nodes.values())
    if isinstance(nodes, list):
        for one in nodes:
            yield from _taken(one)
