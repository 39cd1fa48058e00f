"""ONNX files, put together byte by byte, as protocol buffers.

See https://onnx.ai/onnx/repo-docs/IR.html
"""

import numpy as np

FLOAT, UINT8, INT32, INT64 = 1, 2, 6, 7  # ONNX's numbers for types of elements
WEIGHTS = np.random.default_rng(3).normal(size=(3, 5)).astype(np.float32)


def number(value):
    """Encode a whole number from 0 up, seven bits to a byte."""
    head, rest = value & 0x7F, value >> 7
    return bytes([head | 0x80]) + number(rest) if rest else bytes([head])


def field(i, value):
    """Encode a field of a message: a number, or a text or a message by its length."""
    if isinstance(value, int):
        return number(i << 3) + number(value)
    data = value.encode() if isinstance(value, str) else value
    return number(i << 3 | 2) + number(len(data)) + data


def message(*fields):
    return b"".join(field(i, value) for i, value in fields)


def tensor(name, values):
    element = INT64 if values.dtype == np.int64 else FLOAT
    dims = [(1, size) for size in values.shape]
    return message(*dims, (2, element), (8, name), (9, values.tobytes()))


def value_info(name, element, shape):
    """Describe an input or output; a size given as text may be any, as all without a shape."""
    dims = [(1, message((2 if isinstance(size, str) else 1, size))) for size in shape or ()]
    sizes = [] if shape is None else [(2, message(*dims))]
    return message((1, name), (2, message((1, message((1, element), *sizes)))))


def node(kind, inputs, output, **attributes):
    names = [(1, name) for name in inputs]
    entries = []
    for name, value in attributes.items():
        content = [(3, value), (20, 2)] if isinstance(value, int) else [(8, x) for x in value]
        entries.append(
            (5, message((1, name), *content, *([] if isinstance(value, int) else [(20, 7)])))
        )
    return message(*names, (2, output), (4, kind), *entries)


def model(path, nodes, inputs, constants=None, outputs=("vector",)):
    """Write an ONNX file; `inputs` has (name, type, shape) for each."""
    graph = message(
        *[(1, entry) for entry in nodes],
        (2, "graph"),
        *[(5, tensor(name, values)) for name, values in (constants or {}).items()],
        *[(11, value_info(*entry)) for entry in inputs],
        *[(12, value_info(name, FLOAT, ("batch", "size"))) for name in outputs],
    )
    path.write_bytes(message((1, 8), (7, graph), (8, message((2, 13)))))
    return path


def of_bytes(path, shape=("batch", 224, 224, 3), axes=(1, 2)):
    """A network of bytes: the mean colour, through a matrix."""
    nodes = [
        node("Cast", ["x"], "real", to=FLOAT),
        node("ReduceMean", ["real"], "colour", axes=axes, keepdims=0),
        node("MatMul", ["colour", "weights"], "vector"),
    ]
    return model(path, nodes, [("x", UINT8, shape)], {"weights": WEIGHTS})


def convolutional(path, size=32):
    """A network of bytes with weights as trained ones have: two convolutions and a mean."""
    rng = np.random.default_rng(5)
    constants = {
        f"w{i}": (rng.normal(size=shape) / np.sqrt(9 * shape[1])).astype(np.float32)
        for i, shape in enumerate([(16, 3, 3, 3), (24, 16, 3, 3)])
    }
    constants["scale"] = np.array(1 / 255, dtype=np.float32)
    nodes = [
        node("Cast", ["x"], "real", to=FLOAT),
        node("Mul", ["real", "scale"], "small"),
        node("Conv", ["small", "w0"], "a", strides=(2, 2)),
        node("Relu", ["a"], "b"),
        node("Conv", ["b", "w1"], "c", strides=(2, 2)),
        node("Relu", ["c"], "d"),
        node("ReduceMean", ["d"], "vector", axes=(2, 3), keepdims=0),
    ]
    return model(path, nodes, [("x", UINT8, ("batch", 3, size, size))], constants)
