"""The rows of UniMatch's and UniMatch V2's tables: parts of file names, and published figures."""

import re

from shipped_configs import UNIMATCH

SHARES = {
    "voc2012": dict(
        zip([92, 183, 366, 732, 1464], ["1/16", "1/8", "1/4", "1/2", "1"], strict=True)
    ),
    "voc2012-blender": {662: "1/16", 1323: "1/8", 2646: "1/4"},
    "cityscapes-unimatch": {186: "1/16", 372: "1/8", 744: "1/4", 1488: "1/2"},
    "ade20k-unimatch": {316: "1/64", 631: "1/32", 1263: "1/16", 2526: "1/8", 5052: "1/4"},
}
NUM_IMAGES = dict(voc2012=10582, cityscapes=2975, ade20k=20210)
# Published figures: UniMatch's README and logs at 0324f3d, and UniMatch V2's at f6afb4d. There are
# none for U2PL.
PUBLISHED = {
    ("suponly", "r101", "voc2012"): [45.1, 55.3, 64.8, 69.7, 73.5],
    ("unimatch", "r101", "voc2012"): [75.2, 77.2, 78.8, 79.9, 81.2],
    ("unimatch", "r50", "voc2012"): [71.90, 72.48, 75.96, 77.39, 78.70],
    ("unimatch", "r101", "voc2012-blender"): [80.94, 81.92, 80.43],
    ("unimatch", "r50", "voc2012-blender"): [78.05, 78.96, 79.14],
    ("suponly", "r101", "cityscapes-unimatch"): [66.3, 72.8, 75.0, 78.0],
    ("unimatch", "r101", "cityscapes-unimatch"): [76.6, 77.9, 79.2, 79.5],
    ("suponly", "r50", "cityscapes-unimatch"): [63.3, 70.2, 73.1, 76.6],
    ("unimatch", "r50", "cityscapes-unimatch"): [75.0, 76.8, 77.5, 78.6],
    ("suponly", "s14", "voc2012"): [66.98, 75.63, 81.82, 83.69, 85.56],
    ("unimatch_v2", "s14", "voc2012"): [79.11, 85.57, 85.86, 86.69, 87.89],
    ("unimatch_v2", "s14-frozen", "voc2012"): [81.95, 83.84, 84.27, 85.74, 86.36],
    ("suponly", "b14", "voc2012"): [76.86, 82.07, 85.27, 87.15, 88.30],
    ("fixmatch", "b14", "voc2012"): [84.06, 87.44, 88.38, 89.97, 90.21],
    ("unimatch_v2", "b14", "voc2012"): [86.3, 87.9, 88.9, 90.0, 90.8],
    ("unimatch_v2", "b14-frozen", "voc2012"): [84.84, 87.32, 87.44, 88.51, 90.18],
    ("suponly", "s14", "cityscapes-unimatch"): [77.15, 80.22, 81.69, 82.42],
    ("unimatch_v2", "s14", "cityscapes-unimatch"): [80.55, 81.90, 82.39, 82.61],
    ("suponly", "b14", "cityscapes-unimatch"): [80.79, 82.65, 83.98, 84.39],
    ("unimatch_v2", "b14", "cityscapes-unimatch"): [83.6, 84.3, 84.5, 85.1],
    ("suponly", "s14", "ade20k-unimatch"): [26.14, 32.70, 37.11, 39.83, 42.67],
    ("unimatch_v2", "s14", "ade20k-unimatch"): [31.52, 38.10, 40.69, 44.42, 45.76],
    ("suponly", "b14", "ade20k-unimatch"): [32.06, 39.25, 42.82, 46.41, 49.02],
    ("fixmatch", "b14", "ade20k-unimatch"): [37.76, 43.23, 46.36, 49.51, 51.03],
    ("unimatch_v2", "b14", "ade20k-unimatch"): [38.7, 45.0, 46.7, 49.8, 52.0],
}
UNPUBLISHED = [
    ("u2pl", f"{size}14", table)
    for table in ("voc2012", "cityscapes-unimatch", "ade20k-unimatch")
    for size in "sb"
]


def parts(path):
    """Method, network, table and number of labeled images in the name of a row."""
    pattern = r"/(\w+?)_(?:deeplabv3plus_|dpt_dinov2-)(.+?)(?:-d16)?_4xb\d+-\d+[ei]_(.+)-(\d+)-\d+x"
    method, network, table, size = re.search(pattern, path).groups()
    return method, network, table, int(size)


def find(*row):
    """The first row with such a method, network and table."""
    return next(path for path in UNIMATCH if parts(path)[: len(row)] == row)
