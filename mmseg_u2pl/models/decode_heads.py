"""Rules for MMSegmentation's decode heads; all special cases are here.

A head is recognized by its class or a base class.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_u2pl.ops import logits_of_masks, logits_of_scores

# Names of the module that turns the feature map of a head into logits, or into features that are
# compared with embeddings of classes (Segmenter) or masks (MaskFormer, Mask2Former).
CLASSIFIERS = ("conv_seg", "patch_proj", "mask_feature")

_MASK_HEADS = ("MaskFormerHead", "Mask2FormerHead")

_UNSUPPORTED = {
    "SideAdapterCLIPHead": "it reads embeddings of class names besides features, and its "
    "segmentor gives it these in loss and predict alone",
    "VPDDepthHead": "it estimates depth, not classes",
}


def check_segmentor(config: Mapping[str, Any]) -> None:
    """Refuse the model config of a segmentor that cannot be built or trained.

    Raises:
        ValueError: If a decode head cannot be trained.
        ImportError: If a component comes from a package that cannot be imported.
    """
    heads = config.get("decode_head")
    for head in heads if isinstance(heads, Sequence) else [heads or {}]:
        kind = head.get("type")
        cls = _component("segmentor.decode_head", kind) if isinstance(kind, str) else kind
        for base in getattr(cls, "__mro__", ()):
            if base.__name__ in _UNSUPPORTED:
                raise ValueError(
                    f"decode_head {kind} cannot be trained semi-supervised: "
                    f"{_UNSUPPORTED[base.__name__]}. Choose a head that predicts classes per "
                    "pixel, or masks, from image features"
                )
    _check_packages("segmentor", config)


def _check_packages(path: str, config: Any) -> None:
    """Check the package of each ``type='package.Class'`` inside a config."""
    if isinstance(config, Mapping):
        if isinstance(config.get("type"), str) and "." in config["type"]:
            _component(path, config["type"])
        for key, value in config.items():
            _check_packages(f"{path}.{key}", value)
    elif isinstance(config, (list, tuple)):
        for index, value in enumerate(config):
            _check_packages(f"{path}.{index}", value)


def _component(path: str, kind: str) -> Any:
    """The class registered as ``type``; None if its package is installed but lacks it."""
    package, dot, _ = kind.partition(".")
    try:
        cls = MODELS.get(kind)
        if cls is None and dot:
            import_module(package)
    except Exception as error:
        raise ImportError(
            f"{path} is a {kind}, which needs the package {package}, but that cannot be "
            f"imported: {error}"
        ) from error
    return cls


def refines_points(head: nn.Module) -> bool:
    """Whether a head of a cascade only corrects single points of the previous head's map.

    PointRend's head does; in training it only sees a few points. U2PL uses the previous map.
    """
    return any(base.__name__ == "PointHead" for base in type(head).__mro__)


def _classifies_masks(head: nn.Module) -> bool:
    """Whether a head predicts masks and their classes, as MaskFormer does."""
    return any(base.__name__ in _MASK_HEADS for base in type(head).__mro__)


def forward_of(head: nn.Module, images: Tensor) -> Callable[..., Any]:
    """The head's ``forward``, as a function of only the features.

    Mask classification heads also need samples, for the size of the images. They return class and
    mask logits of each decoder layer, which some heads stack as (L, N, ...). Here they are always
    lists of L tensors, so that the image dimension comes first.
    """
    forward: Callable[..., Any] = head.forward
    if not _classifies_masks(head):
        return forward
    size = tuple(images.shape[-2:])
    # Padding counts as image, as in MMSegmentation, where all images of a batch have the same size.
    sample = SegDataSample(metainfo=dict(img_shape=size, batch_input_shape=size))
    # There may be more feature maps than images, because perturbed copies are appended.
    return lambda features: [list(part) for part in forward(features, [sample] * len(features[0]))]


def classifier_name(head: nn.Module) -> str:
    """Dotted name, within a head, of the last module that gets the pixel features.

    This is the head's own classifier, or that of the head inside it (K-Net).

    Raises:
        ValueError: If the head has no classifier.
    """
    names = [name for name, _ in head.named_modules() if name.rpartition(".")[2] in CLASSIFIERS]
    if not names:
        raise ValueError(
            f"{type(head).__name__} has no classifier ({' or '.join(CLASSIFIERS)}) to take the "
            "embedding from; set embedding_source to the dotted name of the module whose input is "
            "the feature map to contrast"
        )
    return min(names, key=lambda name: name.count("."))


def main_output(head: nn.Module, output: Any, classified: Sequence[Tensor]) -> Tensor:
    """The output of a head's ``forward`` that it predicts with, as logits.

    In training mode, many heads return several outputs. The main one comes from the head's
    ``conv_seg``. A head without one refines its output in stages, of which the last one counts. For
    mask classification, the logits are computed from the masks and classes of the last layer.

    Args:
        head: A decode head.
        output: Output of its :func:`forward_of`.
        classified: Outputs of its ``conv_seg``; empty if it has none.

    Returns:
        (N, C, h, w).

    Raises:
        ValueError: If not exactly one output qualifies, or it is not a map of logits.
    """
    if _classifies_masks(head):
        class_logits, mask_logits = output
        return logits_of_masks(class_logits[-1], mask_logits[-1])
    candidates = [output]
    if isinstance(output, (list, tuple)):
        candidates = list(output[-1:])
        if hasattr(head, "conv_seg"):
            candidates = [part for part in output if any(part is one for one in classified)]
    if len(candidates) == 1:
        logits = candidates[0]
        if isinstance(logits, Tensor) and logits.dim() == 4 and len(logits[0]) == head.out_channels:
            return logits
    raise ValueError(
        f"cannot find the logits in the output of {type(head).__name__}.forward: "
        f"{_describe(output)}. It must return (N, {head.out_channels}, h, w), or several outputs "
        "that include the output of its conv_seg"
    )


def logits_of_prediction(head: nn.Module, predicted: Tensor) -> Tensor:
    """Logits from the ``seg_logits`` (C, H, W) that the last decode head predicts for a sample.

    A head that classifies masks stores scores there, and a head with one channel probabilities.
    """
    if _classifies_masks(head):
        return logits_of_scores(predicted)
    return predicted if len(predicted) > 1 else predicted.logit(eps=1e-6)


def _describe(output: Any) -> str:
    """Types and shapes for an error message."""
    if isinstance(output, Tensor):
        return f"a tensor of shape {tuple(output.shape)}"
    if isinstance(output, (list, tuple)):
        return f"{type(output).__name__} of [{', '.join(map(_describe, output))}]"
    return type(output).__name__
