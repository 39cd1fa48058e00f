"""Where everything lies, from the top of the repository: what dvc.yaml says, said once in code."""

from pathlib import Path

PARAMS = Path("params.yaml")

PRODUCTS = Path("data/products.parquet")
REJECTED = Path("data/rejected.csv")
IMAGES = Path("data/images")
FAILED_IMAGES = Path("data/failed_images.csv")
SPLITS = Path("data/splits.parquet")
WEIGHTS = Path("data/weights")
NETWORKS = Path("data/networks")
EMBEDDINGS = Path("data/embeddings")
FEATURES = Path("data/features.parquet")
MODELS = Path("models/trained")
ENSEMBLE = Path("models/ensemble")
BEST_MODEL = Path("models/best")
PREDICTIONS = Path("data/predictions")
LABEL_ISSUES = Path("data/label_issues.csv")
METRICS = Path("metrics")
PLOTS = Path("plots")

ENSEMBLE_NAME = "ensemble"  # that stands for a classifier's


def model(classifier: str, modality: str) -> Path:
    """Return the folder of a classifier's model, or of the ensemble's."""
    return (ENSEMBLE if classifier == ENSEMBLE_NAME else MODELS / classifier) / modality


def weights(encoder: str) -> Path:
    """Return the folder of an encoder's weights."""
    return WEIGHTS / encoder


def network(encoder: str) -> Path:
    """Return the folder of an encoder's network in int8; empty in other precisions."""
    return NETWORKS / encoder


def embeddings(modality: str, encoder: str) -> Path:
    """Return the file of an encoder's embeddings of the image or the text."""
    return EMBEDDINGS / modality / f"{encoder}.parquet"


def image_shards() -> list[Path]:
    """Return the shards of the images, in their order; none where they are not built."""
    # From the 100,000th on, their numbers have more digits.
    return sorted(IMAGES.glob("*.parquet"), key=lambda shard: (len(shard.name), shard.name))
