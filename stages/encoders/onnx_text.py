"""A text network in an ONNX file of the user's, with its tokeniser: a text in, a vector out."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from stages.common.errors import InputError
from stages.common.openvino import import_openvino
from stages.common.settings import Positive, Sha256
from stages.common.text_tokens import TOKENIZER_FILE, cut_texts
from stages.encoders.backends.base import Backend
from stages.encoders.backends.openvino import network_of
from stages.encoders.fingerprint import network_key
from stages.encoders.onnx_file import last_line, read_onnx
from stages.encoders.settings import TextEncoderSettings
from stages.encoders.text_network_encoder import TextNetworkEncoder
from stages.encoders.weights.manifest import Manifest
from stages.encoders.weights.onnx import WEIGHTS_FILE, fetch_text_files

TOKENS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"


class Settings(TextEncoderSettings):
    """A text network in a file of the user's, and the tokenizer.json that it was trained with.

    `pooling` says what is made of the vectors of a text's tokens; none takes the vector that the
    network itself gives each text.
    """

    usage = TextEncoderSettings.usage | {"max_tokens", "normalize", "pooling"}

    kind: Literal["onnx_text"]
    path: Path = Field(strict=False)
    tokenizer: Path = Field(strict=False)
    sha256: Sha256 | None = None
    tokenizer_sha256: Sha256 | None = None
    pooling: Literal["mean", "cls", "none"] = "mean"
    normalize: bool = True
    max_tokens: Positive = 256


def fetch(settings: Settings, folder: Path) -> Manifest:
    """Copy the two files into `folder` and check that they are a network and a tokeniser that fit.

    Raises InputError where they do not, or where their sha256 are not the encoder's.
    """
    manifest = fetch_text_files(
        settings.path, settings.tokenizer, settings.sha256, settings.tokenizer_sha256, folder
    )
    encoder = load(settings, folder, Backend("openvino", "float32"))
    for words in (1, settings.max_tokens):
        tokens = encoder.prepare("a " * words)
        try:
            count, reason = len(encoder.network.run([tokens])), "it gives several vectors"
        except RuntimeError as error:
            count, reason = 0, last_line(error)
        if count != 1:
            raise InputError(
                f"{settings.path} cannot be run on a text of {tokens[0].shape[1]} tokens "
                f"({reason}): export it for any number of texts and tokens, or lower max_tokens"
            )
    return manifest


def load(settings: Settings, folder: Path, backend: Backend) -> TextNetworkEncoder:
    """Make an encoder of what `fetch` put into `folder`."""
    model, place = convert(settings, folder)
    return TextNetworkEncoder.of_openvino(model, place, backend)


def convert(settings: Settings, folder: Path) -> tuple[Any, Path]:
    """Return OpenVINO's network of what `fetch` put into `folder`, and the folder that keeps it.

    That folder has the tokeniser as well. Raises InputError where the files are no network from
    tokens to vectors and no tokeniser that fits it.
    """

    def build(place: Path) -> Any:
        tokenizer = _tokenizer(settings, folder / TOKENIZER_FILE)
        tokenizer.save(str(place / TOKENIZER_FILE))
        return _network(settings, folder / WEIGHTS_FILE, tokenizer)

    return network_of(folder, lambda: network_key(settings, folder), build)


def _tokenizer(settings: Settings, path: Path) -> Any:
    """Read a tokeniser that cuts texts at `max_tokens`."""
    from tokenizers import Tokenizer

    try:
        found = Tokenizer.from_file(str(path))
        direction = (found.truncation or {"direction": "right"})["direction"]
        found.no_truncation()
        found.encode("an example")
    except Exception as error:  # tokenizers raises nothing narrower
        raise InputError(
            f"{settings.tokenizer} is no tokenizer.json that can be used: {error}"
        ) from None
    cut_texts(found, str(settings.tokenizer), settings.max_tokens, direction)
    return found


def _network(settings: Settings, path: Path, tokenizer: Any) -> Any:
    """Read an ONNX file as a network of a text's tokens and of which of them count.

    It takes int64 of shape (1, tokens) twice, and gives the text's vector, (1, n_features).
    """
    model = read_onnx(path, settings.path)
    given = {entry.get_node().get_friendly_name(): entry for entry in model.inputs}
    if not {TOKENS, MASK} <= set(given) <= {TOKENS, MASK, TYPES}:
        raise InputError(
            f"{settings.path} takes {', '.join(given)}: it must take {TOKENS} and {MASK}, and may "
            f"take {TYPES}"
        )
    _check_vocabulary(settings, given[TOKENS], tokenizer)
    output = _output(settings, model)
    ov = import_openvino()
    ops = ov.opset13
    tokens, mask = (ops.parameter([1, -1], np.int64, name=name) for name in (TOKENS, MASK))
    types = ops.broadcast(np.int64(0), ops.shape_of(tokens))
    for name, source in ((TOKENS, tokens), (MASK, mask), (TYPES, types)):
        if name in given:
            given[name].replace(ops.convert(source, given[name].element_type).output(0))
    vector = _vector(settings, output, mask)
    vector.output(0).set_names({"vector"})
    try:
        return ov.Model([vector], [tokens, mask], "text")
    except RuntimeError as error:
        raise InputError(
            f"{settings.path} does not take texts one by one: {last_line(error)}"
        ) from None


def _check_vocabulary(settings: Settings, tokens: Any, tokenizer: Any) -> None:
    """Raise InputError where a tokeniser has tokens that a network has no vector of.

    OpenVINO would make numbers up.
    """
    most = max(tokenizer.get_vocab().values(), default=0)
    for used in tokens.get_target_inputs():
        node = used.get_node()
        if node.get_type_name() == "Convert":
            _check_vocabulary(settings, node.output(0), tokenizer)
        elif node.get_type_name() == "Gather" and used.get_index() == 1:
            known = node.input_value(0).get_partial_shape()[0]
            if known.is_static and most >= known.get_length():
                raise InputError(
                    f"{settings.tokenizer} has tokens up to {most}, and {settings.path} knows "
                    f"{known.get_length()}: give it the tokenizer.json that it was trained with"
                )


def _output(settings: Settings, model: Any) -> Any:
    """Return the one output of a network that `pooling` can be applied to."""
    rank = 2 if settings.pooling == "none" else 3
    shapes = [output.get_partial_shape() for output in model.outputs]
    fit = [
        output
        for output, shape in zip(model.outputs, shapes, strict=True)
        if shape.rank.is_static and len(shape) == rank and shape[rank - 1].is_static
    ]
    if len(fit) != 1:
        given = zip(model.outputs, shapes, strict=True)
        found = ", ".join(f"{output.any_name} {shape}" for output, shape in given)
        wanted = "vector of each text, [batch, size]"
        if settings.pooling != "none":
            wanted = "vector of each token, [batch, tokens, size]"
        raise InputError(
            f"{settings.path} gives {found}: with pooling {settings.pooling} it must give one "
            f"{wanted}; pooling is mean or cls for vectors of tokens, none for one of each text"
        )
    return fit[0].get_node().input_value(0)


def _vector(settings: Settings, output: Any, mask: Any) -> Any:
    """Pool and normalise a network's output, as PyTorch does it for other text networks."""
    ops = import_openvino().opset13
    found = ops.convert(output, "f32")
    if settings.pooling == "mean":
        counts = ops.unsqueeze(ops.convert(mask, "f32"), np.int64(2))
        total = ops.reduce_sum(ops.multiply(found, counts), np.int64(1))
        found = ops.divide(total, ops.reduce_sum(counts, np.int64(1)))
    elif settings.pooling == "cls":
        found = ops.gather(found, np.int64(0), np.int64(1))
    if settings.normalize:
        norm = ops.reduce_l2(found, np.int64(1), keep_dims=True)
        found = ops.divide(found, ops.maximum(norm, np.float32(1e-12)))
    return found
