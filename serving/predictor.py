"""The Predictor: a trained model that says where new products belong, and how sure that is."""

from collections.abc import Sequence
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np
import pyarrow as pa

from serving.answer_table import to_frame, to_table
from serving.answers import ASK, FILE, Candidate, Prediction
from serving.model import Answers, ServedModel
from serving.products import Product
from serving.reading import fields_read, read_product
from serving.rows import Rows, is_frame, rows_of
from stages.common.errors import InputError
from stages.common.tables import Matrix
from stages.fusion.model_file import ModelFile

ACCURACY = 0.95  # what is promised of the products that are filed, unless another is asked for
BATCH = 1024  # products that are read and classified together


def threshold_of(file: ModelFile, accuracy: float) -> float | None:
    """Return the least probability of a product that a model files; None where none is enough.

    Raises InputError for an accuracy that the model has no threshold for.
    """
    thresholds = {float(key): value for key, value in file.thresholds.items()}
    known = ", ".join(map(str, sorted(thresholds)))
    if not isinstance(accuracy, Real):
        raise InputError(f"accuracy is a {type(accuracy).__name__}: give a number, one of {known}")
    if accuracy not in thresholds:
        raise InputError(
            f"the model has no threshold for an accuracy of {accuracy}: ask for one of {known}"
        )
    return thresholds[accuracy]


class Predictor:
    """A trained model.

    `file` is what it says of itself, `labels` its classes, `inputs` which of image and text it
    sees, and `accuracies` those that may be asked for. It may be used by several threads.
    """

    def __init__(self, model: ServedModel) -> None:
        self._model = model
        self.file: ModelFile = model.file
        self.labels: list[str] = self.file.labels
        self.inputs: frozenset[str] = model.inputs
        self.accuracies: list[float] = sorted(map(float, self.file.thresholds))
        self._fields = fields_read(self.file)

    @classmethod
    def load(
        cls, folder: str | PathLike[str], *, backend: str = "auto", precision: str = "auto"
    ) -> Self:
        """Load a model's folder, such as models/best; no code in it is run.

        `backend` and `precision` are as in params.yaml; auto takes those of the training, where
        the machine has them. Raises InputError where the folder holds no model, or one that is
        damaged or lacks its encoders' weights.
        """
        return cls(ServedModel.load(Path(folder), backend, precision))

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: its networks are compiled for this process."""
        raise TypeError(
            "a Predictor cannot be pickled or copied: call Predictor.load in each process"
        )

    @property
    def remote_encoders(self) -> list[str]:
        """Return the blocks of encoders that run on other machines, such as OpenAI's."""
        return self._model.remote_encoders

    def hurry(self) -> None:
        """Ask encoders on other machines once for a vector, in place of trying for minutes.

        `predict` then raises UnavailableError where one does not answer.
        """
        self._model.hurry()

    def predict(
        self, products: Rows, *, accuracy: float = ACCURACY, top: int = 3, neighbors: int = 0
    ) -> Any:
        """Return a prediction for each product, in their order.

        `products` are mappings with any of sku, name, description, manufacturer and image (the
        bytes of a file, a Pillow image or a path), or a DataFrame or an Arrow table with such
        columns: then a table comes back, with the columns of `serving.answer_table`. A product is
        to be filed where the probability reaches the threshold of `accuracy`; `top` is how many
        classes are named, `neighbors` how many of the training products most like it: none for one
        without an input, or where the model came without its index. A faulty row has an `error`
        and harms no other. Raises InputError for an `accuracy` that the model has no threshold for,
        for a `top` or `neighbors` that is no count, and for a table without a column to read.
        """
        self.threshold(accuracy)
        for name, count in (("top", top), ("neighbors", neighbors)):
            if not isinstance(count, Integral) or count < 0:
                raise InputError(f"{name} is {count!r}: give a whole number, 0 or more")
        found: list[Prediction] = []
        for batch in self._batches(products):
            found += self.predict_products(batch, accuracy=accuracy, top=top, neighbors=neighbors)
        if is_frame(products):
            return to_frame(found, products.index, neighbors > 0)
        return to_table(found, neighbors > 0) if isinstance(products, pa.Table) else found

    def embed(self, products: Rows) -> dict[str, Matrix]:
        """Return each encoder's vectors of the products, as `embed_images` and `embed_text` do.

        Float32 of shape (n, n_features), by block; a sparse csr array where the encoder's are.
        Zeros stand for a missing input.
        """
        read = [product for batch in self._batches(products) for product in batch]
        return {name: rows for name, (rows, _) in self._model.embed(read).items()}

    def predict_products(
        self,
        products: Sequence[Product],
        *,
        accuracy: float = ACCURACY,
        top: int = 3,
        neighbors: int = 0,
    ) -> list[Prediction]:
        """Return a prediction for each product that was read; see `predict`."""
        threshold = self.threshold(accuracy)
        if not products:
            return []
        answers = self._model.predict(products, neighbors)
        return [
            self._prediction(product, answers, row, threshold, top)
            for row, product in enumerate(products)
        ]

    def read(self, row: Any) -> Product:
        """Return the product of a row, read as the model needs it; see `read_product`."""
        return read_product(row, self.inputs, self.file.image_size, self._fields)

    def _batches(self, products: Rows) -> Any:
        """Yield the products of rows of any form, so many at a time."""
        rows = rows_of(products, self.inputs, self._fields)
        for start in range(0, len(rows), BATCH):
            yield [self.read(row) for row in rows[start : start + BATCH]]

    def threshold(self, accuracy: float) -> float | None:
        """Return the least probability of a product that is filed; see `threshold_of`."""
        return threshold_of(self.file, accuracy)

    def _prediction(
        self, product: Product, answers: Answers, row: int, threshold: float | None, top: int
    ) -> Prediction:
        missing = [name for name, has in answers.has.items() if not has[row]]
        near = answers.neighbors[row] if answers.neighbors is not None else None
        error = product.error
        if error is None and len(missing) == len(self.inputs):
            error = f"it has no {' and no '.join(missing)}"
        if error is not None:
            return Prediction(
                product.sku,
                None,
                None,
                ASK,
                missing=missing,
                image_error=product.image_error,
                error=error,
                neighbors=near,
            )
        candidates = self._candidates(answers.probabilities[row], max(top, 1))
        first = candidates[0]
        is_sure = threshold is not None and first.probability >= threshold
        alone = {
            name: self._candidates(answers.of_input[name][row], 1)[0]
            for name, has in answers.has.items()
            if has[row]
        }
        return Prediction(
            sku=product.sku,
            label=first.label,
            probability=first.probability,
            decision=FILE if is_sure else ASK,
            top=candidates[:top],
            image=alone.get("image"),
            text=alone.get("text"),
            missing=missing,
            image_error=product.image_error,
            neighbors=near,
        )

    def _candidates(self, probabilities: np.ndarray, count: int) -> list[Candidate]:
        """Return the most probable classes, the most probable first."""
        order = np.argsort(-probabilities, kind="stable")[:count]
        return [Candidate(self.labels[i], float(probabilities[i])) for i in order]
