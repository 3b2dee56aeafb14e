"""Runs a segmentor's own code, and records or replaces the outputs of its parts.

MMSegmentation neither returns the features and raw head outputs of a forward pass, nor accepts them
for its losses. Module hooks do not help, because it calls ``head.forward(...)`` instead of
``head(...)``. So methods of the segmentor's objects are replaced during a pass:

    record_pass                               losses_of_pass

      segmentor._forward(images)                segmentor.loss(labeled images, ground truth)
        |                                         |
        +- extract_feat --> features ----+        +- extract_feat: not run, returns
        |   (perturbed if asked)         |        |     <---- features[:num_labeled]
        +- head.forward --> head_outputs |        +- head.forward: not run, returns
        |    +- tap <------ tapped       | kept   |     <---- head_outputs[:num_labeled]
        |    +- conv_seg -> classified --+        +- head.loss_by_feat, auxiliary heads: as written
        +- point head: skipped                    +- point head: as written

    Backbone and decode heads run once for both. Afterwards all methods are restored.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple

from mmseg.models import BaseSegmentor
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from mmseg_u2pl.models.decode_heads import forward_of, refines_points


class RecordedPass(NamedTuple):
    """Inputs and outputs of the parts of a segmentor in one forward pass.

    Attributes:
        features: Output of ``extract_feat``.
        head_outputs: Output of each dense head's ``forward``, in order.
        classified: Output of each call of the last dense head's ``conv_seg``; empty if it has
            none.
        tapped: First argument of each call of the tapped module.
    """

    features: Any
    head_outputs: list[Any]
    classified: list[Tensor]
    tapped: list[Tensor]


def record_pass(
    segmentor: BaseSegmentor,
    heads: Sequence[nn.Module],
    tap: nn.Module | None,
    images: Tensor,
    perturb: Callable[[Tensor], Tensor] | None = None,
) -> RecordedPass:
    """Run backbone, neck and decode heads.

    Args:
        segmentor: Any segmentor with a decode head.
        heads: Its decode heads in running order. Heads that refine points are skipped.
        tap: The module whose input is recorded, if any.
        images: (N, 3, H, W), normalized.
        perturb: Applied to each feature map before the decode head, if given.
    """
    record = RecordedPass([], [], [], [])
    dense_heads = [head for head in heads if not refines_points(head)]
    with ExitStack() as stack:
        extract = _perturbed(segmentor.extract_feat, perturb)
        stack.enter_context(_recorded(segmentor, "extract_feat", record.features, extract))
        for head in heads:
            if refines_points(head):
                stack.enter_context(_replaced(head, "forward", lambda _, coarse: coarse))
            else:
                forward = forward_of(head, images)
                stack.enter_context(_recorded(head, "forward", record.head_outputs, forward))
        classifier = getattr(dense_heads[-1], "conv_seg", None)
        if classifier is not None:
            stack.enter_context(_recorded(classifier, "forward", record.classified))
        if tap is not None:
            stack.enter_context(
                tap.register_forward_pre_hook(lambda _, args: record.tapped.append(args[0]))
            )
        segmentor._forward(images)
    return record._replace(features=record.features[-1])


def losses_of_pass(
    segmentor: BaseSegmentor,
    dense_heads: Sequence[nn.Module],
    features: Any,
    head_outputs: Sequence[Any],
    images: Tensor,
    data_samples: list,
) -> dict[str, Tensor]:
    """The losses of :meth:`TappedSegmentor.supervised_loss`, from a recorded pass."""
    num_labeled = len(data_samples)

    def returning(value: Any) -> Callable:
        labeled = tree_map_only(Tensor, lambda tensor: tensor[:num_labeled], value)
        return lambda *_: labeled

    with ExitStack() as stack:
        stack.enter_context(_replaced(segmentor, "extract_feat", returning(features)))
        for head, output in zip(dense_heads, head_outputs, strict=True):
            stack.enter_context(_replaced(head, "forward", returning(output)))
        return segmentor.loss(images[:num_labeled], data_samples)


def _perturbed(extract_feat: Callable, perturb: Callable[[Tensor], Tensor] | None) -> Callable:
    if perturb is None:
        return extract_feat
    return lambda images: tree_map_only(Tensor, perturb, extract_feat(images))


@contextmanager
def _replaced(owner: nn.Module, name: str, function: Callable) -> Iterator[None]:
    """Replace a method of an object, but not of its class.

    If the object already had a method of its own, such as one set by MMEngine's activation
    checkpointing, it is restored afterwards.
    """
    own = {name: vars(owner)[name]} if name in vars(owner) else {}
    setattr(owner, name, function)
    try:
        yield
    finally:
        delattr(owner, name)
        vars(owner).update(own)


def _recorded(
    owner: nn.Module, name: str, results: list[Any], function: Callable | None = None
) -> AbstractContextManager[None]:
    """Record the return values of a method or its replacement."""
    method = function or getattr(owner, name)

    def recording(*args: Any, **kwargs: Any) -> Any:
        results.append(method(*args, **kwargs))
        return results[-1]

    return _replaced(owner, name, recording)
