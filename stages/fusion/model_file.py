"""What a saved model says of itself: model.json, all that prediction needs beside its arrays.

A model's folder has model.json, README.md (its card), a folder with the fitted model, and, where it
is packaged, `encoders/<name>/` with the weights and their manifests and neighbors.parquet. Neither
params.yaml nor anything below data/ or metrics/ is needed to predict with it.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from stages.common.errors import InputError
from stages.common.files import DESKTOP_FILES, sha256_of, write_json
from stages.common.settings import Name, Positive, Settings, Slug

FILE = "model.json"
ENCODERS = "encoders"
NEIGHBORS = "neighbors.parquet"
ENSEMBLE_FILE = "pool.json"  # in the folder of the fitted model, where it is an ensemble

Probability = Annotated[float, Field(ge=0, le=1)]
Folder = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]  # no path out of the model's own


class SavedWeights(Settings):
    """Which weights an encoder has: see `encoders.weights.manifest.Manifest`."""

    kind: Literal["pretrained", "bundled", "random", "none"]
    origin: str
    revision: str | None
    sha256: str


class SavedEncoder(Settings):
    """An encoder: its entry in params.yaml, its weights and how its vectors were computed.

    `fields` are those of a product that make the text, empty for an encoder of images.
    """

    settings: dict[str, Any]
    weights: SavedWeights
    fields: list[str]
    backend: str
    precision: Literal["float32", "bfloat16", "int8"]


class SavedBlock(Settings):
    """A block of vectors: its encoder, the input, and what it is multiplied with."""

    encoder: Slug
    input: Literal["image", "text"]
    n_features: Positive
    svd_components: Positive | None
    weight: float


class ModelFile(Settings):
    """The contents of model.json.

    `folder` is where the fitted model lies that predicts. `labels` are the classes that it knows.
    `thresholds` has by target accuracy the lowest probability above which it is promised, null
    where nothing is. `image_size` is the side in pixels of the squares that images
    are stored as. `evaluation` has the metrics on the test products, null where none were put in.
    `reads_inputs_of` names the encoders whose texts or images the classifier reads itself. `files`
    has the SHA-256 of each file of a packaged model, but for its encoders, which have manifests.
    """

    format: Literal[1]
    modality: Slug
    classifier: dict[str, Any]
    fusion: Literal["hybrid", "early", "late"]
    labels: list[Name]
    folder: Folder
    is_refit: bool
    n_products: Positive
    seed: int
    blocks: dict[Slug, SavedBlock]
    encoders: dict[Slug, SavedEncoder]
    image_size: Positive | None
    thresholds: dict[str, Probability | None] = Field(min_length=1)
    versions: dict[str, str]
    provenance: dict[str, Any]
    reads_inputs_of: list[Slug] = Field(default=[])
    table: dict[str, Any] | None = None
    evaluation: dict[str, Any] | None = None
    files: dict[str, str] = Field(default={})

    @property
    def name(self) -> str:
        """The model's name in metrics and plots, such as multimodal-svm."""
        return f"{self.modality}-{self.classifier['kind']}"

    @property
    def version(self) -> str:
        """Twelve digits that tell a model from others, also from one of the same name."""
        said = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return sha256(said.encode()).hexdigest()[:12]

    def with_sums(self, folder: Path) -> "ModelFile":
        """Return it with the `files` in `folder`."""
        paths = [folder / NEIGHBORS, *sorted((folder / self.folder).rglob("*"))]
        files = [path for path in paths if path.is_file() and path.name not in DESKTOP_FILES]
        sums = {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}
        return self.model_copy(update={"files": sums})

    def check_sums(self, folder: Path) -> None:
        """Raise InputError where a file in `folder` is not the one that was packaged.

        One that is missing is for those who load it: the neighbours are not needed.
        """
        found = self.with_sums(folder).files  # a name may lead out of the folder
        for name, wanted in self.files.items():
            if found.get(name, wanted) != wanted:
                raise InputError(
                    f"{folder / name} is not the file that was packaged: copy the model anew"
                )

    def save(self, folder: Path) -> None:
        """Write model.json into `folder`."""
        write_json(folder / FILE, self.model_dump(mode="json"))

    @classmethod
    def load(cls, folder: Path) -> "ModelFile":
        """Read what `save` wrote.

        Raises InputError where there is no such file, or where it is none that this version reads.
        """
        path = folder / FILE
        try:
            return cls.model_validate(json.loads(path.read_bytes()))
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(
                f"{folder} holds no model ({FILE} is not there): name the folder of one, such as "
                "models/best, which `dvc repro` builds"
            ) from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise InputError(
                f"{path} describes no model that this version can load ({place}: {first['msg']}): "
                "use the version that trained it, or train it anew"
            ) from None
        except (ValueError, RecursionError):
            raise InputError(f"{path} is no JSON: copy the model anew") from None
