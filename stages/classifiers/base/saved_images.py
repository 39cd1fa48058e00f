"""A tuned image network as it is saved and predicts: in OpenVINO, with its processor's steps."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.classifiers.base.saved_network import SavedNetwork
from stages.common.image_steps import ImageSteps, read_steps
from stages.common.images import open_jpeg


class SavedImages(SavedNetwork):
    """From images, as JPEGs, to vectors of unit length."""

    modality = "image"

    def prepare(self, one: bytes) -> Sequence[np.ndarray]:
        """Return what the network takes of a JPEG, uint8 of shape (1, height, width, 3)."""
        return self._preparation.pixels(open_jpeg(one))

    def save_preparation(self, folder: Path) -> None:
        """Write the steps of the image processor into `folder`."""
        self._preparation.save(folder)

    @staticmethod
    def load_preparation(folder: Path) -> ImageSteps:
        """Return the steps that were written; raises FileNotFoundError where there are none."""
        found = read_steps(folder)
        if found is None:
            raise FileNotFoundError(folder)
        return found
