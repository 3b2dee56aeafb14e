"""Pictures of a training step: inputs and predictions of the networks."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmengine.model import BaseDataPreprocessor
from numpy.typing import NDArray
from torch import Tensor

from mmseg_u2pl.methods import StepView
from mmseg_u2pl.models.normalization import denormalize
from mmseg_u2pl.ops import ConfidentPrediction, predict_pixels, resize_logits
from mmseg_u2pl.visualization.comparison import (
    Color,
    Rgb,
    paint_labels,
    paint_pseudo_labels,
    plot_comparison,
)

RELIABLE, UNRELIABLE, IGNORED = (60, 160, 90), (210, 80, 60), (20, 20, 20)
"""RGB colors of reliable, unreliable and padded pixels."""


def restore_images(images: Tensor, preprocessor: BaseDataPreprocessor) -> Rgb:
    """Images (N, C, H, W) as RGB pictures (N, H, W, 3), without the preprocessor's normalization.

    Unless there are three channels, one of them is shown. See :func:`denormalize`.
    """
    images = denormalize(images.detach().float(), preprocessor)
    if images.shape[1] != 3:
        images = images[:, :1].expand(-1, 3, -1, -1)
    return _array(images.round().clamp(0, 255).byte().permute(0, 2, 3, 1))


def paint_entropy(entropy: NDArray[np.floating], num_classes: int) -> Rgb:
    """Color (..., H, W, 3) of entropies in nats: black at 0, pale yellow at the maximum, log C."""
    return matplotlib.colormaps["magma"](entropy / np.log(num_classes), bytes=True)[..., :3]


def paint_confidence(confidence: NDArray[np.floating]) -> Rgb:
    """Color (..., H, W, 3) of largest probabilities: black at 0, pale yellow at 1."""
    return matplotlib.colormaps["magma"](confidence, bytes=True)[..., :3]


def plot_step(
    view: StepView,
    preprocessor: BaseDataPreprocessor,
    classes: Sequence[str],
    palette: Sequence[Color],
    num_images: int,
    align_corners: bool = False,
) -> dict[str, Figure]:
    """Draw the first images of both streams.

    Args:
        view: The view passed to the model's observer.
        preprocessor: The model's data preprocessor.
        classes: (C,), class names.
        palette: (C, 3), RGB in [0, 255].
        num_images: Maximum number of images of each stream.
        align_corners: How the learner's logits are resized.

    Returns:
        ``labeled``: image, ground truth, learner's prediction. ``unlabeled``: the labeler's and the
        learner's input, reliable pseudo-labels, kinds of pixels, entropy or confidence, all labels,
        the learner's prediction, and ground truth if the data set has it. Labeler and learner are
        called by their roles, such as teacher and student.
    """
    truth = view.labeled.label
    logits = resize_logits(view.logits, truth.shape[-2:], align_corners)
    of_labeled, of_mixed = predict_pixels(logits).label.tensor_split([len(truth)])
    first = slice(num_images)
    colors = dict(zip(classes, palette, strict=True))

    def labels(label: Tensor, images: Rgb) -> Rgb:
        return _paint_known(_array(label[first]), images, palette)

    given = restore_images(view.labeled.images[first], preprocessor)
    clean = restore_images(view.unlabeled.images[first], preprocessor)
    mixed = restore_images(view.strong.images[first], preprocessor)
    label = _array(view.pseudo.label[first])
    if isinstance(view.pseudo, ConfidentPrediction):
        measure, painted = "confidence", paint_confidence(_array(view.pseudo.confidence[first]))
    else:
        entropy = _array(view.pseudo.entropy[first])
        measure, painted = "entropy", paint_entropy(entropy, len(classes))
    reliable = _array(view.split.reliable[first])
    unlabeled = {
        f"unlabeled image\n({view.labeler})": clean,
        f"mixed image\n({view.learner})": mixed,
        "reliable\npseudo-labels": paint_pseudo_labels(mixed, label, ~reliable, palette),
        "kind of pixel": _paint_kinds(reliable, _array(view.split.valid[first])),
        f"{measure}\n({view.labeler})": painted,
        f"all labels\n({view.labeler})": paint_labels(label, palette),
        f"prediction\n({view.learner})": paint_labels(_array(of_mixed[first]), palette),
    }
    if view.strong.truth is not None:
        unlabeled["ground truth\n(not used)"] = labels(view.strong.truth, mixed)
    labeled = {
        "labeled image": given,
        "ground truth": labels(truth, given),
        f"prediction\n({view.learner})": paint_labels(_array(of_labeled[first]), palette),
    }
    kinds = dict(reliable=RELIABLE, unreliable=UNRELIABLE, ignored=IGNORED)
    return dict(
        labeled=plot_comparison(labeled, colors),
        unlabeled=plot_comparison(unlabeled, kinds | colors),
    )


def render(figure: Figure) -> Rgb:
    """Turn a figure into an image, (H, W, 3), RGB, for MMEngine's visualizers."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _paint_known(label: NDArray[np.integer], images: Rgb, palette: Sequence[Color]) -> Rgb:
    """Labels over the image; pixels without a label, whatever the ignore index, are gray."""
    unknown = (label < 0) | (label >= len(palette))
    return paint_pseudo_labels(images, np.where(unknown, 0, label), unknown, palette)


def _paint_kinds(reliable: NDArray[np.bool_], valid: NDArray[np.bool_]) -> Rgb:
    kind = np.where(valid, np.where(reliable, 0, 1), 2)
    return np.array([RELIABLE, UNRELIABLE, IGNORED], np.uint8)[kind]


def _array(values: Tensor) -> NDArray[Any]:
    return values.cpu().numpy()
