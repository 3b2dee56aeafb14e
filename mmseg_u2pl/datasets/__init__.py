"""Labeled and unlabeled streams, and data sets that MMSegmentation lacks."""

from .builtin import BuiltinDataset, BuiltinForegroundDataset
from .camvid import CamVidDataset
from .checks import DataError
from .sampler import DualStreamSampler
from .semi_dataset import SemiDataset
from .transforms import HideGroundTruth, MarkImagePixels

__all__ = [
    "BuiltinDataset",
    "BuiltinForegroundDataset",
    "CamVidDataset",
    "DataError",
    "DualStreamSampler",
    "HideGroundTruth",
    "MarkImagePixels",
    "SemiDataset",
]
