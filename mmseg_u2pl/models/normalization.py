"""The normalization of a data preprocessor, and its inverse."""

from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmseg_u2pl.compat import swaps_red_and_blue


def denormalize(images: Tensor, preprocessor: BaseDataPreprocessor) -> Tensor:
    """Undo the normalization of a data preprocessor.

    Args:
        images: (N, C, H, W), normalized.
        preprocessor: The preprocessor that normalized them. Its input is assumed to be BGR, as
            MMSegmentation loads images.

    Returns:
        (N, C, H, W), in [0, 255], RGB if C is 3.
    """
    if preprocessor._enable_normalize:
        images = images * preprocessor.std + preprocessor.mean
    return images if swaps_red_and_blue(preprocessor) else images.flip(1)


def normalize(images: Tensor, preprocessor: BaseDataPreprocessor) -> Tensor:
    """Normalize as a data preprocessor does; the inverse of :func:`denormalize`."""
    images = images if swaps_red_and_blue(preprocessor) else images.flip(1)
    if preprocessor._enable_normalize:
        images = (images - preprocessor.mean) / preprocessor.std
    return images
