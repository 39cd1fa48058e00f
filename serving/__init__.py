"""A trained model at work: one Predictor, used from Python, the command line and over HTTP."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving.predictor import Predictor

__all__ = ["Predictor"]


def __getattr__(name: str) -> Any:
    """Import the Predictor when it is first asked for: it takes a second."""
    if name == "Predictor":
        from serving.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
