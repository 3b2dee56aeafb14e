"""CamVid, a small data set of road scenes that MMSegmentation lacks."""

from typing import ClassVar

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

_COLORS = {
    "sky": [128, 128, 128],
    "building": [128, 0, 0],
    "pole": [192, 192, 128],
    "road": [128, 64, 128],
    "sidewalk": [0, 0, 192],
    "tree": [128, 128, 0],
    "sign-symbol": [192, 128, 128],
    "fence": [64, 64, 128],
    "car": [64, 0, 128],
    "pedestrian": [64, 64, 0],
    "bicyclist": [0, 128, 192],
}


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """CamVid (Brostow et al., 2009) with the customary 11 classes.

    Masks hold the class index, or 255 for void. Images end in ``.jpg`` and masks in ``.png``; set
    ``img_suffix='.png'`` for the original frames. For lists of names such as
    ``train/0001TP_006690``, set ``data_prefix=dict(img_path='images', seg_map_path='labels')``.
    """

    METAINFO: ClassVar[dict] = {
        "classes": tuple(_COLORS),
        "palette": list(_COLORS.values()),
    }
