"""Labeled and unlabeled streams, and data sets that MMSegmentation lacks."""

from mmseg_u2pl.datasets.camvid import CamVidDataset
from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl.datasets.sampler import DualStreamSampler
from mmseg_u2pl.datasets.semi_dataset import SemiDataset
from mmseg_u2pl.datasets.transforms import HideGroundTruth, MarkImagePixels

__all__ = [
    "CamVidDataset",
    "DataError",
    "DualStreamSampler",
    "HideGroundTruth",
    "MarkImagePixels",
    "SemiDataset",
]
