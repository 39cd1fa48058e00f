"""An encoder's weights in their folder: fetched, kept from an earlier time, or drawn at random."""

import sys
import textwrap
from pathlib import Path

from stages.common.errors import InputError
from stages.common.files import atomic_folder
from stages.encoders.base import module_of
from stages.encoders.settings import EncoderSettings
from stages.encoders.weights.manifest import Manifest, is_intact, read_manifest, write_manifest
from stages.encoders.weights.unreachable import Unreachable

PINS = ("revision", "sha256")  # settings by which an encoder asks for certain weights


def obtain_weights(
    name: str, settings: EncoderSettings, folder: Path, policy: str, seed: int
) -> Manifest:
    """Put an encoder's weights into `folder` with their manifest, and return it.

    Where the network does not answer, what was fetched before for the same settings stays. Else,
    if `policy` is auto and the encoder can do with them, random weights are drawn with `seed`:
    unless the settings pin the weights, which then must be those or none.
    Raises InputError where neither is possible, or where what is found is not what params.yaml asks
    for; the folder then stays as it was.
    """
    request, kind = settings.weights_request(), module_of(settings.kind)
    try:
        with atomic_folder(folder) as new:
            write_manifest(new, kind.fetch(settings, new), request)
        return read_manifest(folder)
    except Unreachable as error:
        unreachable = error
    if (kept := _fetched_before(settings, folder)) is not None:
        print(f"{name}: keep the weights that were fetched before ({unreachable.reason})")
        return kept
    with atomic_folder(folder) as new:
        pins = _pins(settings) if hasattr(kind, "draw") else []
        can_draw = policy == "auto" and hasattr(kind, "draw") and not pins
        drawn = kind.draw(settings, new, seed) if can_draw else None
        if drawn is None:
            raise _unavailable(unreachable, pins)
        write_manifest(new, drawn, request)
    warn_random(unreachable.model, unreachable.reason)
    return read_manifest(folder)


def _fetched_before(settings: EncoderSettings, folder: Path) -> Manifest | None:
    """Return the manifest in `folder` if its weights are published ones, asked for and intact."""
    try:
        manifest = read_manifest(folder)
    except InputError:
        return None
    fits = (
        manifest.kind in ("pretrained", "bundled")
        and manifest.request == settings.weights_request()
        and getattr(settings, "sha256", None) in (None, manifest.sha256)
    )
    return manifest if fits and is_intact(folder, manifest) else None


def _pins(settings: EncoderSettings) -> list[str]:
    """Return the settings that pin the weights: PINS that are not as they are by default."""
    fields = type(settings).model_fields
    return [key for key in PINS if key in fields and getattr(settings, key) != fields[key].default]


def _unavailable(error: Unreachable, pins: list[str]) -> InputError:
    unpinned = f", and no `{'` and no `'.join(pins)}`" if pins else ""
    return InputError(
        f"the weights of {error.model} cannot be had ({error.reason}): connect to the network, "
        f"give the encoder a `path` to them, or {error.remedy}{unpinned}"
    )


def warn_random(model: str, reason: str) -> None:
    """Say on standard error, so that it cannot be missed, that weights are drawn at random."""
    text = (
        f"RANDOM WEIGHTS for {model}: the published ones cannot be had ({reason}). "
        f"Results that rest on them say nothing of the encoder's quality."
    )
    bar = "!" * 100
    lines = textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)
    print("\n".join([bar, *lines, bar]), file=sys.stderr, flush=True)
