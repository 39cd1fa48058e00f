"""The weights of a model's encoders: those in the model's folder, or obtained again."""

import hashlib
import json
from pathlib import Path

from stages.common.cache import cache_folder
from stages.common.errors import InputError
from stages.common.files import atomic_folder, remove_leftovers
from stages.encoders.base import module_of
from stages.encoders.settings import EncoderSettings
from stages.encoders.weights.manifest import (
    MANIFEST_FILE,
    Manifest,
    is_intact,
    read_manifest,
    write_manifest,
)
from stages.encoders.weights.obtain import obtain_weights
from stages.fusion.model_file import ENCODERS, SavedEncoder, SavedWeights


def find_weights(
    name: str, settings: EncoderSettings, entry: SavedEncoder, folder: Path, seed: int
) -> Path:
    """Return the folder of an encoder's weights.

    They are in the folder of the model, or else kept in the cache from an earlier time, or else
    obtained as the pipeline obtains them, random ones with `seed`. A network in int8 is in the
    folder of the model alone. Raises InputError where the weights cannot be had, are damaged, or
    are not those that the model was trained with.
    """
    place, wanted = folder / ENCODERS / name, entry.weights
    if wanted.kind == "none":
        return place
    if place.is_dir():
        manifest = _packaged_manifest(place)
        _check(name, str(place), manifest, wanted)
        if not is_intact(place, manifest):
            raise InputError(f"the files in {place} are not those of its manifest: copy them anew")
        return place
    if entry.precision == "int8":
        raise InputError(
            f"{place} is not there, and a network in int8 is nowhere else: copy the model whole, "
            "from where it was packaged, such as models/best"
        )
    request = json.dumps([settings.weights_request(), seed, wanted.sha256])
    place = cache_folder() / "weights" / hashlib.sha256(request.encode()).hexdigest()
    if not _is_kept(place, wanted):
        remove_leftovers(place.parent)  # of killed programs, which may have asked for others
        manifest = _obtain(name, settings, wanted, place, seed)
        _check(name, manifest.origin, manifest, wanted)
    return place


def _packaged_manifest(place: Path) -> Manifest:
    try:
        return read_manifest(place)
    except InputError:  # which says how the pipeline fetches weights, and there may be none here
        raise InputError(
            f"{place / MANIFEST_FILE} is missing or damaged: copy the model anew"
        ) from None


def _check(name: str, origin: str, found: Manifest, wanted: SavedWeights) -> None:
    if found.sha256 != wanted.sha256:
        raise InputError(
            f"the weights of {name} from {origin} have sha256 {found.sha256}, and the model was "
            f"trained with {wanted.sha256} ({wanted.origin}): put those into {ENCODERS}/{name} in "
            "the model's folder"
        )


def _is_kept(place: Path, wanted: SavedWeights) -> bool:
    """Return whether the cache has the weights, whole."""
    try:
        manifest = read_manifest(place)
    except InputError:
        return False
    return manifest.sha256 == wanted.sha256 and is_intact(place, manifest)


def _obtain(
    name: str, settings: EncoderSettings, wanted: SavedWeights, place: Path, seed: int
) -> Manifest:
    """Put an encoder's weights into `place`; random ones are drawn and not asked for anywhere."""
    draw = getattr(module_of(settings.kind), "draw", None)
    if wanted.kind != "random" or draw is None:
        return obtain_weights(name, settings, place, "pretrained", seed)
    with atomic_folder(place) as new:
        if (drawn := draw(settings, new, seed)) is None:
            raise InputError(f"{name} does not say for which network its weights are drawn")
        write_manifest(new, drawn, settings.weights_request())
    return read_manifest(place)
