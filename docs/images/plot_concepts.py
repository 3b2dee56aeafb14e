"""Draw the pictures of docs/algorithm.md.

    python dev/make_builtin_data.py data/builtin
    python tools/train.py CONFIG --cfg-options train_cfg.max_iters=350 param_scheduler.0.end=350
    python docs/images/plot_concepts.py data/builtin CHECKPOINT

CONFIG is PLAIN below. The teacher of the pictures is a model of only the labeled images, as at the
start of U2PL.
"""

import sys
from pathlib import Path

import mmseg_u2pl  # noqa: F401  # before the stack: it checks the versions

# isort: split
import mmcv
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from mmseg.apis import inference_model, init_model

from mmseg_u2pl.ops import class_probabilities, partition, predict_pixels, unreliable_share
from mmseg_u2pl.visualization import paint_labels, paint_pseudo_labels, plot_comparison
from mmseg_u2pl.visualization.training_step import RELIABLE, UNRELIABLE, paint_entropy

HERE = Path(__file__).parent
CONFIGS = HERE.parent.parent / "configs/suponly"
PLAIN = CONFIGS / "suponly_deeplabv3plus_efficientnet-lite0-s5_1xb8-demo_builtin-1of16-128x128.py"
ALPHA_0, LOW_RANK = 0.2, 3
DATA, NETWORK, RULE, LOSS = "#e8e8e8", "#cfe2f7", "#fdf0c8", "#d5efd8"
BOXES = {
    # name: (column, row from below, text, color)
    "labeled": (0, 2, "labeled images\nand masks", DATA),
    "unlabeled": (0, 0, "unlabeled images", DATA),
    "teacher": (1, 1, "teacher\nno gradient", NETWORK),
    "mixing": (2, 0, "CutMix of the images and\nof the teacher's outputs", RULE),
    "student": (3, 2, "student", NETWORK),
    "partition": (3, 0, "entropy: reliable\nand unreliable pixels", RULE),
    "supervised": (4, 2, "supervised loss", LOSS),
    "unsupervised": (4, 1, "unsupervised loss:\npseudo-labels of\nreliable pixels", LOSS),
    "contrastive": (4, 0, "contrastive loss:\nnegatives from\nunreliable pixels", LOSS),
}
ARROWS = [
    *(("labeled", to) for to in ("student", "teacher")),
    *(("unlabeled", to) for to in ("teacher", "mixing")),
    ("teacher", "mixing"),
    *(("mixing", to) for to in ("student", "partition")),
    *(("partition", to) for to in ("unsupervised", "contrastive")),
    *(("student", to) for to in ("supervised", "unsupervised", "contrastive")),
]


def draw_diagram() -> Figure:
    """What goes where in a step."""
    figure = Figure(figsize=(13, 4.2), dpi=100)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(-0.4, 4.6), ylim=(-0.4, 2.4))
    axis.set_axis_off()
    boxes = {}
    for name, (x, y, text, color) in BOXES.items():
        width, height = (
            0.08 + 0.031 * max(map(len, text.split("\n"))),
            0.12 + 0.14 * len(text.split("\n")),
        )
        corner = (x - width / 2, y - height / 2)
        boxes[name] = FancyBboxPatch(
            corner, width, height, "round,pad=0.02", facecolor=color, edgecolor="gray", zorder=2
        )
        axis.add_patch(boxes[name])
        axis.text(x, y, text, ha="center", va="center", zorder=3)

    def arrow(start: str, end: str, **style: str) -> None:
        ends = [BOXES[name][:2] for name in (start, end)]
        axis.add_patch(
            FancyArrowPatch(
                *ends,
                patchA=boxes[start],
                patchB=boxes[end],
                arrowstyle="-|>",
                mutation_scale=14,
                color="black",
                **style,
            )
        )

    for start, end in ARROWS:
        arrow(start, end)
    arrow("student", "teacher", linestyle="--", connectionstyle="arc3,rad=-0.15")
    axis.text(1.9, 1.62, "moving average,\nafter each step", ha="center", va="center")
    return figure


def draw_partition(images: np.ndarray, logits: torch.Tensor, palette: list) -> Figure:
    """The same entropies, split at three moments of a training."""
    pseudo = predict_pixels(logits)
    label, entropy = pseudo.label.numpy(), pseudo.entropy.numpy()
    columns = {
        "unlabeled image": images,
        "teacher's\nprediction": paint_labels(label, palette),
        "its entropy": paint_entropy(entropy, len(palette)),
    }
    for name, progress in (("start", 0.0), ("half-way", 0.5), ("end", 0.95)):
        alpha = unreliable_share(progress, ALPHA_0)
        everywhere = torch.ones_like(pseudo.label, dtype=torch.bool)
        reliable = partition(pseudo.entropy, everywhere, alpha).reliable.numpy()
        columns[f"{name}: {alpha:.0%}\nunreliable"] = np.array([UNRELIABLE, RELIABLE], np.uint8)[
            reliable.astype(int)
        ]
        if progress == 0.0:
            columns["pseudo-labels\nat the start"] = paint_pseudo_labels(
                images, label, ~reliable, palette
            )
    return plot_comparison(columns, dict(reliable=RELIABLE, unreliable=UNRELIABLE))


def draw_ranks(logits: torch.Tensor, classes: list, palette: list) -> Figure:
    """Probabilities of the unreliable pixel that is least decided between two classes."""
    entropy = predict_pixels(logits).entropy
    unreliable = partition(entropy, torch.ones_like(entropy, dtype=torch.bool), ALPHA_0).unreliable
    prob = class_probabilities(logits).permute(0, 2, 3, 1)[unreliable]
    rest = 1 - prob.topk(2).values.sum(dim=1)
    prob, order = prob[rest.argmin()].sort(descending=True)
    figure = Figure(figsize=(7.5, 3.2), dpi=100, layout="constrained")
    axis = figure.subplots()
    colors = np.divide(palette, 255)[order]
    bars = axis.bar(range(len(order)), prob, color=colors, edgecolor="gray")
    axis.bar_label(bars, [f"{100 * value:.3g} %" for value in prob.tolist()])
    axis.set_xticks(range(len(order)), [classes[index] for index in order])
    axis.set_ylabel("teacher's probability")
    axis.set_ylim(0, 1.25 * float(prob[0]))
    axis.axvline(LOW_RANK - 0.5, color="black", linestyle="--")
    height = 1.14 * float(prob[0])
    axis.text(LOW_RANK - 0.6, height, "may be the class", ha="right")
    axis.text(LOW_RANK - 0.4, height, "surely not: a negative of these classes", ha="left")
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def main(data: Path, checkpoint: str) -> None:
    """Write all pictures beside this file."""
    model = init_model(str(PLAIN), checkpoint, device="cpu")
    names = (data / "ImageSets/Segmentation/unlabeled.txt").read_text().split()[:2]
    paths = [next(data.glob(f"*/{name}.jpg")) for name in names]
    results = inference_model(model, [str(path) for path in paths])
    logits = torch.stack([result.seg_logits.data for result in results])
    classes, palette = (model.dataset_meta[key] for key in ("classes", "palette"))
    draw_diagram().savefig(HERE / "step.png")
    images = np.stack([mmcv.imread(path, channel_order="rgb") for path in paths])
    draw_partition(images, logits, palette).savefig(HERE / "partition.png")
    draw_ranks(logits, classes, palette).savefig(HERE / "ranks.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
