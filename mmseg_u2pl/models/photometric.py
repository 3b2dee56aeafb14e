"""Other colours for images that are normalised already."""

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmseg_u2pl.models.normalization import denormalize, normalize
from mmseg_u2pl.ops import distort


class PhotometricDistortion:
    """Jitters the colours of each image, makes it gray or blurs it, each at random.

    The strengths are those of UniMatch (Yang et al., CVPR 2023): :func:`mmseg_u2pl.ops.distort`.
    """

    def __call__(
        self, images: Tensor, preprocessor: BaseDataPreprocessor, generator: torch.Generator
    ) -> Tensor:
        """Distort normalised images.

        Args:
            images: (N, 3, H, W), normalised by ``preprocessor``.
            preprocessor: A data preprocessor of MMSegmentation.
            generator: CPU generator.

        Returns:
            (N, 3, H, W), normalised.

        Raises:
            ValueError: If the images do not have three channels.
        """
        if images.shape[1] != 3:
            raise ValueError(
                f"photometric changes colours, and the images have {images.shape[1]} channels; "
                "leave it out"
            )
        pictures = denormalize(images, preprocessor)
        return normalize(distort(pictures, generator), preprocessor)
