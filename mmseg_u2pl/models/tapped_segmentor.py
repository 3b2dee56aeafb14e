"""A plain MMSegmentation segmentor, and an embedding of its pixels, in one forward pass."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmseg.models import BaseSegmentor
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from mmseg_u2pl.models.decode_heads import (
    check_segmentor,
    classifier_name,
    forward_of,
    main_output,
    refines_points,
)
from mmseg_u2pl.models.projector import Projector
from mmseg_u2pl.ops import EmbeddingMap
from mmseg_u2pl.utils.options import require_options


class SegmentorOutput(NamedTuple):
    """What one forward pass over N images yields.

    Attributes:
        logits: (N, C, h, w), at the stride of the decode head.
        embedding: Of N maps of h' x w' pixels, at the stride of the tapped feature map; None
            without a projector.
        features: What the segmentor's ``extract_feat`` returned.
        head_outputs: What the ``forward`` of each head in ``dense_heads`` returned, in order.
    """

    logits: Tensor
    embedding: EmbeddingMap | None
    features: Any
    head_outputs: list[Any]

    def zero(self) -> Tensor:
        """(), 0, with the projector in its graph: distributed training waits for its gradient."""
        if self.embedding is None:
            return self.logits.new_zeros(())
        nowhere = torch.empty(3, 0, dtype=torch.int64, device=self.logits.device)
        return self.embedding.at(*nowhere).sum()


class TappedSegmentor(BaseModule):
    """Any MMSegmentation segmentor whose logits and losses come from one forward pass.

    With a projector the pass yields an embedding of the pixels too. It is tapped: the input of the
    module at ``embedding_source`` goes through the projector. The segmentor itself stays as it is,
    so its weights are those of a plain one. ``decode_heads.py`` says which decode heads work.

    Args:
        segmentor: Model config of a segmentor with a ``decode_head``.
        projector: Options of :class:`Projector` besides ``in_channels``, which is read from the
            tapped module unless it is given here. None for no embedding.
        embedding_source: Dotted name of a module of the segmentor, for example
            ``'decode_head.sep_bottleneck'``, that sees a feature map or a sequence of one token a
            pixel. By default the classifier of the (last) decode head.

    Raises:
        ValueError: If the tap does not exist, its width cannot be read, the decode head gives no
            scores of classes for each pixel, or there is but one class.
        ImportError: If the segmentor needs a package that cannot be imported.
    """

    def __init__(
        self, segmentor: dict, projector: dict | None = None, embedding_source: str | None = None
    ) -> None:
        super().__init__()
        require_options("projector", projector)
        if not (embedding_source is None or isinstance(embedding_source, str)):
            raise TypeError(f"embedding_source must be a dotted name, got {embedding_source!r}")
        check_segmentor(segmentor)
        self.segmentor: BaseSegmentor = MODELS.build(ConfigDict(segmentor))
        if not getattr(self.segmentor, "with_decode_head", False):
            raise ValueError(f"the segmentor {type(self.segmentor).__name__} has no decode_head")
        if self.segmentor.num_classes < 2:
            raise ValueError(
                "the segmentor has num_classes=1, and classes are told apart from each other; for "
                "foreground and background set num_classes=2 in every head, and out_channels=1 for "
                "a single channel"
            )
        self.projector: Projector | None = None
        if projector is not None:
            self.embedding_source = embedding_source or self._default_source()
            options = dict(projector)
            if "in_channels" not in options:
                options["in_channels"] = self._tap_channels()
            options.setdefault("norm_cfg", self._norm_cfg())
            self.projector = Projector(**options)

    @property
    def decode_heads(self) -> list[nn.Module]:
        """The decode heads in the order they run; one but for cascades."""
        head = self.segmentor.decode_head
        return list(head) if isinstance(head, nn.ModuleList) else [head]

    @property
    def dense_heads(self) -> list[nn.Module]:
        """The decode heads whose output is a map of logits; the last one's are the model's."""
        return [head for head in self.decode_heads if not refines_points(head)]

    @property
    def ignore_index(self) -> int:
        """Ground truth value of pixels without a label."""
        return int(self.dense_heads[-1].ignore_index)  # type: ignore[arg-type]

    def forward(
        self, images: Tensor, perturb: Callable[[Tensor], Tensor] | None = None
    ) -> SegmentorOutput:
        """Backbone, neck, decode head and projector.

        Args:
            images: (N, 3, H, W), normalised.
            perturb: Applied to each feature map before the decode head, if given.

        Returns:
            Logits and embedding, and what :meth:`supervised_loss` needs.
        """
        features: list[Any] = []
        head_outputs: list[Any] = []
        classified: list[Tensor] = []
        tapped: list[Tensor] = []
        last_head = self.dense_heads[-1]
        with ExitStack() as stack:
            extract = self._extract(perturb)
            stack.enter_context(_recorded(self.segmentor, "extract_feat", features, extract))
            for head in self.decode_heads:
                stack.enter_context(
                    _replaced(head, "forward", lambda _, coarse: coarse)
                    if refines_points(head)
                    else _recorded(head, "forward", head_outputs, forward_of(head, images))
                )
            classifier = getattr(last_head, "conv_seg", None)
            if classifier is not None:
                stack.enter_context(_recorded(classifier, "forward", classified))
            if self.projector is not None:
                stack.enter_context(
                    self._tap().register_forward_pre_hook(lambda _, args: tapped.append(args[0]))
                )
            self.segmentor._forward(images)
        logits = main_output(last_head, head_outputs[-1], classified)
        embedding = None
        if self.projector is not None:
            embedding = self.projector(self._tapped_map(tapped, logits.shape[-2:]))
        return SegmentorOutput(logits, embedding, features[-1], head_outputs)

    def supervised_loss(
        self, images: Tensor, output: SegmentorOutput, data_samples: list
    ) -> dict[str, Tensor]:
        """The segmentor's own losses on the first images of a pass, without running them again.

        Features and outputs of the decode heads are those of ``output``: the segmentor's ``loss``
        runs as written, auxiliary heads and extra terms included, but finds them computed.

        Args:
            images: (N, 3, H, W), the images of the pass.
            output: What :meth:`forward` returned for them.
            data_samples: Ground truth of the first ``len(data_samples)`` images.

        Returns:
            Losses under the segmentor's own names.
        """
        num_labeled = len(data_samples)

        def labeled_part(value: Any) -> Any:
            return tree_map_only(Tensor, lambda tensor: tensor[:num_labeled], value)

        with ExitStack() as stack:
            stack.enter_context(
                _replaced(self.segmentor, "extract_feat", lambda *_: labeled_part(output.features))
            )
            for head, head_output in zip(self.dense_heads, output.head_outputs, strict=True):
                stack.enter_context(
                    _replaced(head, "forward", lambda *_, out=head_output: labeled_part(out))
                )
            return self.segmentor.loss(images[:num_labeled], data_samples)

    def _extract(self, perturb: Callable[[Tensor], Tensor] | None) -> Callable:
        """The segmentor's ``extract_feat``, with something done to each feature map."""
        extract_feat = self.segmentor.extract_feat
        if perturb is None:
            return extract_feat
        return lambda images: tree_map_only(Tensor, perturb, extract_feat(images))

    def _default_source(self) -> str:
        head = self.dense_heads[-1]
        prefix = next(name for name, module in self.segmentor.named_modules() if module is head)
        return f"{prefix}.{classifier_name(head)}"

    def _norm_cfg(self) -> dict | None:
        """Norm layer of the module that holds the tap, or else of the decode head."""
        owner = self.segmentor.get_submodule(self.embedding_source.rpartition(".")[0])
        head = self.dense_heads[-1]
        return getattr(owner, "norm_cfg", None) or getattr(head, "norm_cfg", None)

    def _tap(self) -> nn.Module:
        try:
            return self.segmentor.get_submodule(self.embedding_source)
        except AttributeError as error:
            raise ValueError(
                f"embedding_source {self.embedding_source!r} is not a module of "
                f"{type(self.segmentor).__name__} ({error}); set it to the dotted name of one "
                "whose input is the feature map to contrast"
            ) from None

    def _tapped_map(self, tapped: list[Tensor], size: torch.Size) -> Tensor:
        """(N, D, h, w) from what the tap saw: itself, or (N, h * w, D), tokens of the logits."""
        if not tapped:
            raise ValueError(
                f"embedding_source {self.embedding_source!r} did not run in the forward pass of "
                f"{type(self.segmentor).__name__}; name a module that does"
            )
        features = tapped[-1]
        if features.dim() == 3 and features.shape[1] == size.numel():
            return features.transpose(1, 2).unflatten(2, size)
        if features.dim() == 4:
            return features
        raise ValueError(
            f"what enters embedding_source {self.embedding_source!r} has the shape "
            f"{tuple(features.shape)}; it must be (N, D, h, w), or (N, L, D) with one token for "
            f"each of the {size[0]} x {size[1]} logits"
        )

    def _tap_channels(self) -> int:
        module: nn.Module = self._tap()
        while isinstance(module, nn.Sequential):
            module = module[0]
        for candidate in (module, *module.children()):
            for attribute in ("in_channels", "in_features"):
                channels = getattr(candidate, attribute, None)
                if isinstance(channels, int):
                    return channels
        raise ValueError(
            f"cannot read how many channels enter embedding_source {self.embedding_source!r} "
            f"({type(module).__name__}); give it as projector=dict(in_channels=...)"
        )


@contextmanager
def _replaced(owner: nn.Module, name: str, function: Callable) -> Iterator[None]:
    """Let a method of one object be another function; the class is not touched.

    MMSegmentation calls ``head.forward`` rather than ``head``, so module hooks would not see it.
    Others do so too, as MMEngine's activation checkpointing: what they did is there again after.
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
) -> Any:
    """Keep what a method, or the function that replaces it, returns."""
    method = function or getattr(owner, name)

    def recording(*args: Any, **kwargs: Any) -> Any:
        results.append(method(*args, **kwargs))
        return results[-1]

    return _replaced(owner, name, recording)
