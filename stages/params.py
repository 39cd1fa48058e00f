"""params.yaml as typed values: read whole, checked whole, before any work is done.

The file is read as DVC reads it (YAML 1.2). An unknown or ill-typed key is refused with its place
and the alternatives; so is a name that refers to nothing, such as an encoder without an entry.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.common.errors import InputError

PARAMS_FILE = Path("params.yaml")

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1)]
PositiveFloat = Annotated[float, Field(gt=0)]

Fields = Annotated[list[Literal["name", "description", "manufacturer"]], Field(min_length=1)]


def _without_password(url: str) -> str:
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise ValueError(
            "a user or password would be written to dvc.lock: leave it out, and put it in ~/.netrc"
        )
    return url


Place = Annotated[Name, AfterValidator(_without_password)]
HttpUrl = Annotated[Place, Field(pattern=r"^https?://[^/\s]+")]


class Section(BaseModel):
    """A mapping of params.yaml: its keys are known, and its values are what they say they are."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Demo(Section):
    """The catalogue that the program draws itself."""

    products: Annotated[int, Field(ge=200, le=1_000_000)]


class BestBuy(Section):
    """Best Buy's open data set."""

    products: HttpUrl


class Table(Section):
    """A catalogue of the user's: a file, and which of its columns are what."""

    path: Name
    sku: Name
    name: Name
    description: Name | None
    manufacturer: Name | None
    label: Name
    image_url: Name | None
    image_path: Name | None
    archive: Place | None

    @model_validator(mode="after")
    def _one_place_for_pictures(self) -> "Table":
        if self.image_url and self.image_path:
            raise ValueError("name image_url or image_path, not both")
        if self.archive and not self.image_path:
            raise ValueError("archive needs image_path: the column with the pictures' names in it")
        return self


class Data(Section):
    """Where the products come from."""

    source: Literal["demo", "bestbuy", "table"]
    min_class_size: Literal["auto"] | Annotated[int, Field(ge=3)]
    mirror: HttpUrl | None
    folder: Path = Field(strict=False)
    demo: Demo
    bestbuy: BestBuy
    table: Table

    @property
    def smallest_class(self) -> int:
        """The number of products below which a class is set aside."""
        if self.min_class_size != "auto":
            return self.min_class_size
        return 100 if self.source == "bestbuy" else 10


class Split(Section):
    """How products are held out.

    `grouped` keeps near-duplicates, and products that agree in one of the columns of `group_by`, on
    one side. With one fold, a share `test` is held out for testing; with several, each product is
    tested in one of them. With one validation fold, a share `validation` is held out; with several,
    the products that are not for testing take turns, and a model is then fitted on all of them.
    """

    strategy: Literal["grouped", "stratified"]
    group_by: list[Literal["manufacturer"]]
    folds: Annotated[int, Field(ge=1, le=20)]
    test: Share
    validation_folds: Annotated[int, Field(ge=1, le=20)]
    validation: Share

    @model_validator(mode="after")
    def _leaves_some_to_train_on(self) -> "Split":
        if self.validation + self.share_for_test >= 1:
            raise ValueError("validation and test must leave products to train on: less than 1")
        if self.group_by and self.strategy != "grouped":
            raise ValueError("group_by needs the strategy grouped")
        return self

    @property
    def share_for_test(self) -> float:
        """The share of the products that is for testing in a fold."""
        return self.test if self.folds == 1 else 1 / self.folds


class Fusion(Section):
    """How a model that sees pictures and texts joins them.

    The weights of encoders, 1 unless named, say how the blocks of a kind share its weight.
    """

    strategy: Literal["hybrid", "early", "late"]
    image: PositiveFloat
    text: PositiveFloat
    encoders: dict[Slug, PositiveFloat]
    components: Positive


class Download(Section):
    """How pictures are asked for."""

    concurrency: Annotated[int, Field(ge=1, le=1024)]
    per_host: Annotated[int, Field(ge=1, le=1024)]
    connect_timeout_s: PositiveFloat
    read_timeout_s: PositiveFloat
    retries: Annotated[int, Field(ge=0, le=20)]
    backoff_s: PositiveFloat
    max_bytes: Positive
    max_failed: Annotated[float, Field(ge=0, le=1)]
    retry_failed: bool
    shard_rows: Positive


class OfPictures(Section):
    """What every image encoder may say: the views of a picture whose vectors' mean it gives."""

    views: Annotated[list[Literal["whole", "mirrored", "shrunk"]], Field(min_length=1)] = ["whole"]


class OfTexts(Section):
    """What every text encoder may say: what it reads instead of `text.fields`."""

    fields: Fields | None = None


class KerasEncoder(OfPictures):
    """A network of Keras Applications, by the name of its function."""

    kind: Literal["keras"]
    model: Annotated[str, Field(pattern=r"^[A-Z]\w+$")]
    path: Path | None = Field(default=None, strict=False)
    sha256: Sha256 | None = None


class HuggingFaceImageEncoder(OfPictures):
    """An image network that Transformers' AutoModel loads."""

    kind: Literal["huggingface_image"]
    model: str
    revision: str = "main"
    architecture: str | None = None
    path: Path | None = Field(default=None, strict=False)
    package: str | None = None
    sha256: Sha256 | None = None


class HuggingFaceTextEncoder(OfTexts):
    """A text network that Transformers' AutoModel loads."""

    kind: Literal["huggingface_text"]
    model: str
    revision: str = "main"
    pooling: Literal["mean", "cls", "pooler"] = "mean"
    normalize: bool = True
    max_tokens: Positive = 256
    path: Path | None = Field(default=None, strict=False)
    package: str | None = None
    sha256: Sha256 | None = None


class HashedNgramsEncoder(OfTexts):
    """Counts of a text's n-grams in `size` places."""

    kind: Literal["hashed_ngrams"]
    size: Annotated[int, Field(ge=64, le=2**20, multiple_of=2)] = 16384


class OnnxEncoder(OfPictures):
    """A network in a file of the user's: a picture in, a vector out."""

    kind: Literal["onnx"]
    path: Path = Field(strict=False)
    sha256: Sha256 | None = None
    mean: tuple[float, float, float] | None = Field(default=None, strict=False)
    std: tuple[float, float, float] | None = Field(default=None, strict=False)


ImageEncoder = KerasEncoder | HuggingFaceImageEncoder | OnnxEncoder
TextEncoder = HuggingFaceTextEncoder | HashedNgramsEncoder
AnyEncoder = Annotated[ImageEncoder | TextEncoder, Field(discriminator="kind")]


class Image(Section):
    """What is done with pictures."""

    encoders: list[Slug]


class Text(Section):
    """What is done with texts."""

    encoders: list[Slug]
    fields: Fields


class Cache(Section):
    """What is kept from one run to the next, outside DVC: a limit in gigabytes (10^9 bytes)."""

    max_gb: PositiveFloat


class Modality(Section):
    """What a model sees: every embedding of a folder, or those of the encoders that it names."""

    embeddings: Literal["data/embeddings", "data/embeddings/image", "data/embeddings/text"]
    encoders: Annotated[list[Slug], Field(min_length=1)] | None = None


class LogisticRegression(Section):
    """Multinomial logistic regression."""

    kind: Literal["logistic_regression"]
    C: PositiveFloat
    class_weight: Literal["balanced"] | None
    max_iter: Positive


class Svm(Section):
    """A support vector machine with a Gaussian kernel, approximated where products are many."""

    kind: Literal["svm"]
    C: PositiveFloat
    gamma: PositiveFloat
    exact_up_to: Annotated[int, Field(ge=0)]
    landmarks: Positive
    class_weight: Literal["balanced"] | None


class RandomForest(Section):
    """A random forest on principal components."""

    kind: Literal["random_forest"]
    components: Positive
    n_estimators: Positive
    criterion: Literal["gini", "entropy"]
    max_features: Literal["sqrt", "log2"] | Share
    min_samples_leaf: Positive
    max_samples: Positive
    class_weight: Literal["balanced", "balanced_subsample"] | None


class Mlp(Section):
    """A multi-layer perceptron with a branch per encoder."""

    kind: Literal["mlp"]
    branch_units: Positive
    hidden_units: Positive
    dropout: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: PositiveFloat
    batch_size: Annotated[int, Field(ge=2)]
    epochs: Positive
    patience: Positive
    class_weight: Literal["balanced"] | None


AnyClassifier = Annotated[
    LogisticRegression | Svm | RandomForest | Mlp, Field(discriminator="kind")
]


def _named_as_kinds(classifiers: Any) -> Any:
    """Give each classifier the kind that it is named as: dvc.yaml finds its module by that name."""
    if not isinstance(classifiers, dict):
        return classifiers
    for name, settings in classifiers.items():
        if isinstance(settings, dict) and "kind" in settings:
            raise ValueError(f"{name} has the key kind: a classifier's name is its kind")
    return {
        name: {**settings, "kind": name} if isinstance(settings, dict) else settings
        for name, settings in classifiers.items()
    }


class Params(Section):
    """The whole of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    data: Data
    split: Split
    download: Download
    weights: Literal["auto", "pretrained"]
    engine: Literal["auto", "openvino", "torch", "tensorflow"]
    precision: Literal["auto", "float32", "bfloat16"]
    cache: Cache
    image: Image
    text: Text
    fusion: Fusion
    encoders: dict[Slug, AnyEncoder]
    modalities: Annotated[dict[Slug, Modality], Field(min_length=1)]
    classifiers: Annotated[
        dict[str, AnyClassifier], BeforeValidator(_named_as_kinds), Field(min_length=1)
    ]

    @model_validator(mode="after")
    def _names_refer_to_something(self) -> "Params":
        for section, kinds in (("image", ImageEncoder), ("text", TextEncoder)):
            names = getattr(self, section).encoders
            if len(set(names)) < len(names):
                raise ValueError(f"{section}.encoders names one encoder twice: {names}")
            fit = [key for key, entry in self.encoders.items() if isinstance(entry, kinds)]
            for name in names:
                if name not in fit:
                    raise ValueError(
                        f"{section}.encoders names {name!r}; the {section} encoders "
                        f"under `encoders` are {', '.join(fit)}"
                    )
        for name in self.fusion.encoders:
            if name not in self.encoders:
                raise ValueError(
                    f"fusion.encoders names {name!r}; under `encoders` are "
                    f"{', '.join(self.encoders)}"
                )
        for name, modality in self.modalities.items():
            there = self.encoders_in(modality.embeddings)
            for encoder in modality.encoders or []:
                if encoder not in there:
                    raise ValueError(
                        f"modalities.{name}.encoders names {encoder!r}; in its folder are "
                        f"{', '.join(there) or 'none'}"
                    )
            if not self.encoders_of(name):
                raise ValueError(f"modalities.{name} has no encoder left to see with")
        return self

    def encoders_in(self, folder: str) -> dict[str, Path]:
        """Return the encoders whose embeddings lie in or below `folder`, with their files."""
        files = {name: Path("data/embeddings/image") for name in self.image.encoders}
        files |= {name: Path("data/embeddings/text") for name in self.text.encoders}
        return {
            name: place / f"{name}.parquet"
            for name, place in files.items()
            if place.is_relative_to(folder)
        }

    def encoders_of(self, modality: str) -> dict[str, Path]:
        """Return the encoders of a modality, with the files of their embeddings."""
        chosen = self.modalities[modality]
        files = self.encoders_in(chosen.embeddings)
        return {name: file for name, file in files.items() if name in (chosen.encoders or files)}

    def scales_of(self, modality: str) -> dict[str, float]:
        """Return what each block of a modality is multiplied with when they are put side by side.

        Blocks are of unit length, and so are the rows of all of them, scaled: the squares of the
        scales add up to 1. Pictures and texts share them as the squares of their weights in
        `fusion`, and so do the encoders of each.
        """
        squares: dict[str, float] = {}
        kinds = self.kinds()
        for kind, weight in (("image", self.fusion.image), ("text", self.fusion.text)):
            own = {
                name: self.fusion.encoders.get(name, 1.0) ** 2
                for name in self.encoders_of(modality)
                if kinds[name] == kind
            }
            squares |= {name: weight**2 * part / sum(own.values()) for name, part in own.items()}
        total = sum(squares.values())
        return {name: (square / total) ** 0.5 for name, square in squares.items()}

    def kinds(self) -> dict[str, str]:
        """Return for each encoder whether it is of the image or the text."""
        return dict.fromkeys(self.image.encoders, "image") | dict.fromkeys(
            self.text.encoders, "text"
        )

    def models(self) -> list[tuple[str, str]]:
        """Return every (modality, classifier) for which a model is trained."""
        return [(modality, kind) for modality in self.modalities for kind in self.classifiers]


def load_params(path: Path = PARAMS_FILE) -> Params:
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
    """Check what was read from params.yaml; `origin` names it in errors."""
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        found = [_explain(entry) for entry in error.errors()]
        raise InputError("; ".join(f"{origin}: {line}" for line in found)) from None


_TRIED = re.compile(r"literal\[|constrained-|\[key\]")


def _explain(entry: Any) -> str:
    """Say one of pydantic's complaints as a place, what is wrong there and what may stand there."""
    # Where a value may be of several types, pydantic puts the one that it tried behind the place.
    place = [str(part) for part in entry["loc"] if not _TRIED.match(str(part))]
    if place[:1] in (["encoders"], ["classifiers"]):
        del place[2:3]  # and the kind behind an entry's name
    if entry["type"] == "extra_forbidden":
        known = ", ".join(_keys_at(entry["loc"][:-1]))
        return f"{'.'.join(place)} is not a key that is known; known here: {known}"
    if entry["type"] == "missing":
        return f"{'.'.join(place)} is missing"
    message = entry["msg"].removeprefix("Value error, ")
    if not place:
        return message
    if isinstance(entry["input"], dict):
        return f"{'.'.join(place)}: {message}"
    return f"{'.'.join(place)}: {message} (it is {entry['input']!r})"


def _keys_at(place: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the mapping at `place` may have."""
    kinds: dict[str, type[BaseModel]] = {
        get_args(model.model_fields["kind"].annotation)[0]: model
        for union in (AnyEncoder, AnyClassifier)
        for model in get_args(get_args(union)[0])
    }
    model: Any = Params
    for depth, part in enumerate(place):
        if depth == 2 and part in kinds and place[0] in ("encoders", "classifiers"):
            model = kinds[str(part)]
        elif isinstance(model, type) and part in model.model_fields:
            annotation = model.model_fields[str(part)].annotation
            values = get_args(annotation)
            model = values[-1] if values and not isinstance(annotation, type(None)) else annotation
    known = set(getattr(model, "model_fields", ()))
    return sorted(known - {"kind"} if place[:1] == ("classifiers",) else known)
