"""Photometric distortion of normalized images."""

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmseg_u2pl.models.batches import UnlabeledBatch
from mmseg_u2pl.models.normalization import denormalize, normalize
from mmseg_u2pl.ops import distort
from mmseg_u2pl.utils.options import require_share


class PhotometricDistortion:
    """Randomly jitters the colors of each image, converts it to gray or blurs it.

    The defaults and probabilities are those of UniMatch (Yang et al., CVPR 2023).

    Args:
        strength: Brightness, contrast and saturation change by at most this factor, in [0, 1].
        hue: Hue is rotated by at most this share of a full circle, in [0, 1].

    Raises:
        ValueError: If an option is out of its range.
    """

    def __init__(self, strength: float = 0.5, hue: float = 0.25) -> None:
        require_share("photometric.strength", strength)
        require_share("photometric.hue", hue)
        self.strength = strength
        self.hue = hue

    def __call__(
        self, images: Tensor, preprocessor: BaseDataPreprocessor, generator: torch.Generator
    ) -> Tensor:
        """Distort images (N, 3, H, W) normalized by the preprocessor; they stay normalized.

        Raises:
            ValueError: If the images do not have three channels.
        """
        if images.shape[1] != 3:
            raise ValueError(
                f"photometric changes colors, but the images have {images.shape[1]} channels; "
                "remove it"
            )
        pictures = denormalize(images, preprocessor)
        distorted = distort(pictures, generator, self.strength, self.hue)
        return normalize(distorted, preprocessor)


def change_colors(
    unlabeled: UnlabeledBatch,
    distortion: PhotometricDistortion | None,
    preprocessor: BaseDataPreprocessor,
    generator: torch.Generator,
) -> UnlabeledBatch:
    """The batch with distorted images, or as it is without a distortion."""
    if distortion is None:
        return unlabeled
    return unlabeled._replace(images=distortion(unlabeled.images, preprocessor, generator))
