"""Which modalities can be trained, given what the products of a catalogue have."""

from collections.abc import Collection, Iterable, Mapping

from stages.common.errors import InputError
from stages.fusion.settings import Block

INPUTS = {"image": "an image", "text": "a text"}


def usable_modalities(
    seen: Mapping[str, Mapping[str, Block]], empty: Collection[str]
) -> dict[str, dict[str, Block]]:
    """Return the modalities that can be trained, with those of their blocks that are not empty.

    `seen` has the blocks that each modality sees by name, `empty` the names of blocks that no
    product has. A modality needs a block of each input, image or text, that it is meant to see.
    Raises InputError where no modality is left.
    """
    usable = {}
    for modality, blocks in seen.items():
        left = {name: block for name, block in blocks.items() if name not in empty}
        if inputs_of(left.values()) == inputs_of(blocks.values()):
            usable[modality] = left
    if not usable:
        lacking = [INPUTS[name] for name in missing_inputs(seen, empty)]
        raise InputError(
            f"no product has {' or '.join(lacking)}, and each of `modalities` in params.yaml needs "
            "one: name the columns of the table under data.table, or add a modality of the other "
            "input alone"
        )
    return usable


def missing_inputs(seen: Mapping[str, Mapping[str, Block]], empty: Collection[str]) -> list[str]:
    """Return the inputs, image or text, that modalities see and that no product has."""
    blocks = {name: block for one in seen.values() for name, block in one.items()}
    left = inputs_of(block for name, block in blocks.items() if name not in empty)
    return sorted(inputs_of(blocks.values()) - left)


def omissions(seen: Mapping[str, Mapping[str, Block]], empty: Collection[str]) -> list[str]:
    """Say in lines which models and encoders are left out, and why; none where nothing is."""
    usable = usable_modalities(seen, empty)
    missing = missing_inputs(seen, empty)
    lines = []
    if missing:
        left_out = ", ".join(name for name in seen if name not in usable)
        lacking = " or ".join(INPUTS[name] for name in missing)
        lines.append(f"no product has {lacking}: left out the models of {left_out}")
    blocks = {name: block for one in seen.values() for name, block in one.items()}
    lines += [
        f"no product has what the encoder {block.encoder} reads: left it out"
        for name, block in blocks.items()
        if name in empty and block.input not in missing
    ]
    return lines


def inputs_of(blocks: Iterable[Block]) -> set[str]:
    """Return the inputs, image or text, that blocks are of."""
    return {block.input for block in blocks}
