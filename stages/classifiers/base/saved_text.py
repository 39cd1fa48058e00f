"""A tuned text network as it is saved and predicts: in OpenVINO, with its tokeniser.

Neither PyTorch nor Transformers is needed to use it, and loading it runs no code.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from stages.common.errors import InputError
from stages.common.openvino import import_openvino
from stages.common.text_tokens import TOKENIZER_FILE, tokens_of

MODEL_FILE = "network.xml"


class SavedText:
    """From texts to vectors of unit length; the weights are kept in float16."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.n_features: int = model.output(0).get_partial_shape()[1].get_length()
        self._model = model
        self._tokenizer = tokenizer
        self._request: Any = None

    def save(self, folder: Path) -> None:
        """Write the network and its tokeniser into `folder`."""
        import_openvino().save_model(self._model, folder / MODEL_FILE)
        self._tokenizer.save(str(folder / TOKENIZER_FILE))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load what `save` wrote; raises InputError where it is missing or damaged."""
        from tokenizers import Tokenizer

        try:
            model = import_openvino().Core().read_model(folder / MODEL_FILE)
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        except Exception as error:  # RuntimeError of the one, a bare Exception of the other
            raise InputError(
                f"{folder} holds no text network ({type(error).__name__}): `dvc repro -f` "
                "rebuilds it"
            ) from None
        return cls(model, tokenizer)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return the texts' vectors, float32 of shape (n, n_features); zeros of an empty text."""
        if self._request is None:
            hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
            compiled = import_openvino().Core().compile_model(self._model, "CPU", hints)
            self._request = compiled.create_infer_request()
        found = np.zeros((len(texts), self.n_features), dtype=np.float32)
        for row, text in enumerate(texts):
            if text:
                self._request.infer(list(tokens_of(self._tokenizer, text)))
                found[row] = self._request.get_output_tensor(0).data[0]
        return found
