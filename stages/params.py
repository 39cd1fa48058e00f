"""params.yaml as typed values: read whole, checked whole, before any work is done.

The file is read as DVC reads it (YAML 1.2). An unknown or ill-typed key is refused with its place
and the alternatives; so is a name that refers to nothing, such as an encoder without an entry. The
rooms say what their sections may hold, and each kind of encoder or classifier its own entries.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, InstanceOf, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.catalog.settings import DataSettings, SplitSettings
from stages.classifiers.base.interface import ClassifierSettings
from stages.common import paths
from stages.common.errors import InputError
from stages.common.settings import Positive, Settings, Slug, TextFields
from stages.compute.selection import Compute
from stages.download.settings import DownloadSettings
from stages.encoders.backends.selection import check_backend
from stages.encoders.settings import CacheSettings, EncoderSettings
from stages.fusion.settings import (
    RESERVED,
    Block,
    EnsembleSettings,
    FusionSettings,
    ModalitySettings,
    all_blocks,
    blocks_of,
)

ROOMS = {"encoders": "stages.encoders", "classifiers": "stages.classifiers"}
HERE = Path(__file__).parent


class ImageSettings(Settings):
    """What is done with images: `size` is the side in pixels at which they are stored."""

    size: Annotated[int, Field(ge=32, le=1024)]
    encoders: list[Slug]


class TextSettings(Settings):
    """What is done with texts."""

    encoders: list[Slug]
    fields: TextFields


class TrainSettings(Settings):
    """How the model is fitted that new products are sorted by.

    If `refit`, it is fitted once more, to all products, and not judged itself. With several folds
    it is so in any case.
    """

    refit: bool


class Params(Settings):
    """The whole of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    compute: Compute
    jobs: Positive | Literal["auto"]
    data: DataSettings
    split: SplitSettings
    download: DownloadSettings
    weights: Literal["auto", "pretrained"]
    backend: Literal["auto", "openvino", "torch", "tensorflow"]
    precision: Literal["auto", "float32", "bfloat16", "int8"]
    cache: CacheSettings
    image: ImageSettings
    text: TextSettings
    fusion: FusionSettings
    encoders: dict[Slug, InstanceOf[EncoderSettings]]
    modalities: Annotated[dict[Slug, ModalitySettings], Field(min_length=1)]
    classifiers: Annotated[dict[Slug, InstanceOf[ClassifierSettings]], Field(min_length=1)]
    train: TrainSettings
    ensemble: EnsembleSettings

    @model_validator(mode="after")
    def _columns_to_group_by_are_read(self) -> "Params":
        # Without this, it is the split that says so, after all images were downloaded.
        for name in self.split.group_by if self.data.source == "table" else []:
            if getattr(self.data.table, name) is None:
                raise ValueError(
                    f"split.group_by names {name}, but data.table.{name} is null: name the column, "
                    "or empty split.group_by"
                )
        return self

    @model_validator(mode="after")
    def _names_refer_to_something(self) -> "Params":
        if "sku" in self.encoders:
            raise ValueError("encoders.sku needs another name: a column of the tables has it")
        for section in ("image", "text"):
            names = getattr(self, section).encoders
            if len(set(names)) < len(names):
                raise ValueError(f"{section}.encoders names one encoder twice: {names}")
            fit = [name for name, entry in self.encoders.items() if entry.modality == section]
            _check_names(f"{section}.encoders", names, fit, f"the {section} encoders are")
        _check_names("fusion.encoders", self.fusion.encoders, self.encoders, "under `encoders` are")
        kinds = sorted(file.stem for file in (HERE / "classifiers").glob("[!_]*.py"))
        pooled = self.ensemble.classifiers
        _check_names("ensemble.classifiers", pooled, kinds, "the kinds are")
        if len(set(pooled)) < len(pooled):
            raise ValueError(f"ensemble.classifiers names one classifier twice: {pooled}")
        for name in self.classifiers:
            if name in (paths.ENSEMBLE_NAME, "weights"):
                raise ValueError(f"classifiers.{name} needs another name: metrics use it")
        for name, modality in self.modalities.items():
            if name in RESERVED:
                raise ValueError(f"modalities.{name} needs another name: metrics use it")
            folder = modality.model_copy(update={"encoders": None})
            there = [block.encoder for block in blocks_of(folder, self.blocks()).values()]
            _check_names(
                f"modalities.{name}.encoders", modality.encoders or [], there, "its folder has"
            )
            if not self.blocks_of(name):
                raise ValueError(
                    f"modalities.{name} has no encoder left to see with: name one in "
                    "image.encoders or text.encoders, or keep only the modality of the input that "
                    "is left"
                )
        used = {name: self.encoders[name] for name in (*self.image.encoders, *self.text.encoders)}
        for entry in used.values():
            check_backend(entry, self.backend, self.precision)
        seen = {name: list(self.blocks_of(name).values()) for name in self.modalities}
        for name, classifier in self.classifiers.items():
            try:
                classifier.check_encoders(used, seen)
            except ValueError as error:
                raise ValueError(f"classifiers.{name}: {error}") from None
        return self

    def blocks(self) -> dict[str, Block]:
        """Return the blocks of all encoders in use, by name."""
        return all_blocks(self.image.encoders, self.text.encoders)

    def blocks_of(self, modality: str) -> dict[str, Block]:
        """Return the blocks that a modality sees, by name."""
        return blocks_of(self.modalities[modality], self.blocks())

    def ensemble_members(self) -> list[str]:
        """Return the classifiers that are pooled: those of the ensemble that are trained."""
        return [name for name in self.ensemble.classifiers if name in self.classifiers]

    def models(self) -> list[tuple[str, str]]:
        """Return every (modality, classifier) of which there is a model, with the ensemble's."""
        names = list(self.classifiers)
        if len(self.ensemble_members()) > 1:
            names.append(paths.ENSEMBLE_NAME)
        return [(modality, name) for modality in self.modalities for name in names]


def _check_names(place: str, names: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raise ValueError naming the first of `names` that is not among `known`."""
    known = list(known)
    for name in names:
        if name not in known:
            raise ValueError(f"{place} names {name!r}; {what} {', '.join(known) or 'none'}")


def load_params(path: Path = paths.PARAMS) -> Params:
    """Read and check params.yaml.

    Raises InputError naming every place that is wrong and what may stand there.
    """
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is not here: run from the top of the repository") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    return parse_params(content, str(path))


def parse_params(content: Any, origin: str = "params") -> Params:
    """Check what was read from params.yaml; `origin` names it in errors.

    Raises InputError naming every place that is wrong and what may stand there.
    """
    faults: list[str] = []
    if isinstance(content, Mapping):
        content = {
            section: _entries(section, value, faults) if section in ROOMS else value
            for section, value in content.items()
        }
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        # Names are checked against the entries: with a fault in one of these it would mislead.
        found = [entry for entry in error.errors() if entry["loc"] or not faults]
        faults += [_explain(entry, Params) for entry in found]
    if faults:
        raise InputError("; ".join(f"{origin}: {line}" for line in faults))
    return params


def _entries(section: str, content: Any, faults: list[str]) -> Any:
    """Return the section with each entry as its kind's settings, adding what is wrong to `faults`.

    An encoder says its kind; a classifier's name is its kind, by which dvc.yaml finds its module.
    """
    if not isinstance(content, Mapping):
        return content
    checked: dict[Any, Any] = {}
    for name, entry in content.items():
        place = f"{section}.{name}"
        if not isinstance(entry, Mapping):
            faults.append(f"{place}: Input should be a valid dictionary (it is {entry!r})")
            continue
        if section == "encoders" and "kind" not in entry:
            faults.append(f"{place}.kind is missing: {_kinds(section)}")
            continue
        kind = entry["kind"] if section == "encoders" else name
        module = _module_of(section, kind)
        if module is None:
            where = f"{place}.kind" if section == "encoders" else place
            faults.append(f"{where}: there is no kind {kind!r}; {_kinds(section)}")
            continue
        try:
            checked[name] = module.Settings.model_validate(entry)
        except ValidationError as error:
            faults += [_explain(found, module.Settings, place) for found in error.errors()]
    # What was refused above must not be refused once more as too few.
    return checked or (content if not content else {})


def _module_of(section: str, kind: Any) -> Any:
    """Return a kind's module, which has a class Settings of its own; None if there is none."""
    is_name = isinstance(kind, str) and kind.isidentifier()
    if not is_name or not (HERE / section / f"{kind}.py").is_file():
        return None
    module = import_module(f"{ROOMS[section]}.{kind}")
    settings = getattr(module, "Settings", None)
    return module if getattr(settings, "__module__", None) == module.__name__ else None


def _kinds(section: str) -> str:
    """Say which kinds there are."""
    names = sorted(file.stem for file in (HERE / section).glob("*.py"))
    return f"the kinds are {', '.join(name for name in names if _module_of(section, name))}"


_TRIED = re.compile(r"literal\[|constrained-|\[key\]")


def _explain(entry: Any, model: type[Settings], section: str = "") -> str:
    """Say one of pydantic's complaints as a place, what is wrong there and what may stand there."""
    # Where a value may be of several types, pydantic puts the one that it tried behind the place.
    parts = [str(part) for part in entry["loc"] if not _TRIED.match(str(part))]
    place = ".".join(filter(None, [section, *parts]))
    if entry["type"] == "extra_forbidden":
        known = ", ".join(_keys_at(model, entry["loc"][:-1]))
        return f"{place} is not a key that is known; known here: {known}"
    if entry["type"] == "missing":
        return f"{place} is missing"
    message = entry["msg"].removeprefix("Value error, ")
    if not place:
        return message
    if isinstance(entry["input"], dict):
        return f"{place}: {message}"
    if entry["type"] == "string_type" and isinstance(entry["input"], int | float | date):
        message += ", in quotes"  # YAML takes 0042 for the number 42
    return f"{place}: {message} (it is {entry['input']!r})"


def _keys_at(model: Any, loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the mapping at `loc` in a model may have."""
    for part in loc:
        field = getattr(model, "model_fields", {}).get(part)
        if field is not None:
            values = get_args(field.annotation)
            model = values[-1] if values else field.annotation
    return sorted(getattr(model, "model_fields", ()))
