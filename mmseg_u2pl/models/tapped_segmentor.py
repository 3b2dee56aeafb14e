"""A plain MMSegmentation segmentor with an embedding of its pixels, in one forward pass."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmseg.models import BaseSegmentor
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_u2pl.models.decode_heads import (
    check_segmentor,
    classifier_name,
    main_output,
    refines_points,
)
from mmseg_u2pl.models.projector import Projector
from mmseg_u2pl.models.recorded_pass import losses_of_pass, record_pass
from mmseg_u2pl.ops import EmbeddingMap
from mmseg_u2pl.utils.options import require_options


class SegmentorOutput(NamedTuple):
    """Results of a forward pass over N images.

    Attributes:
        logits: (N, C, h, w), at the stride of the decode head.
        embedding: Embeddings of N maps of h' x w' pixels, at the stride of the tapped feature map;
            None without a projector.
        features: Output of the segmentor's ``extract_feat``.
        head_outputs: Output of the ``forward`` of each head in ``dense_heads``, in order.
    """

    logits: Tensor
    embedding: EmbeddingMap | None
    features: Any
    head_outputs: list[Any]


class TappedSegmentor(BaseModule):
    """Any MMSegmentation segmentor whose logits and losses come from one forward pass.

    With a projector, the pass also yields an embedding of the pixels: the input of the module at
    ``embedding_source`` goes through the projector. The segmentor itself is unchanged, so its
    weights are those of a plain one. ``decode_heads.py`` defines which decode heads work.

    Args:
        segmentor: Model config of a segmentor with a ``decode_head``.
        projector: Options of :class:`Projector`. The default of ``in_channels`` is read from the
            tapped module. None for no embedding.
        embedding_source: Dotted name of a module of the segmentor, such as
            ``'decode_head.sep_bottleneck'``, whose input is a feature map or a sequence with one
            token per pixel. By default the classifier of the (last) decode head.

    Raises:
        ValueError: If the tap does not exist, its width cannot be read, the decode head does not
            score classes per pixel, or there is only one class.
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
                "the segmentor has num_classes=1, but at least two classes are needed; for "
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
        """The decode heads in running order; a single one except for cascades."""
        head = self.segmentor.decode_head
        return list(head) if isinstance(head, nn.ModuleList) else [head]

    @property
    def dense_heads(self) -> list[nn.Module]:
        """The decode heads that output a map of logits; the last one's logits are the model's."""
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
            images: (N, 3, H, W), normalized.
            perturb: Applied to each feature map before the decode head, if given.

        Returns:
            Logits and embedding, and the inputs of :meth:`supervised_loss`.
        """
        tap = None if self.projector is None else self._tap()
        record = record_pass(self.segmentor, self.decode_heads, tap, images, perturb)
        features, head_outputs, classified, tapped = record
        logits = main_output(self.dense_heads[-1], head_outputs[-1], classified)
        embedding = None
        if self.projector is not None:
            embedding = self.projector(self._tapped_map(tapped, logits.shape[-2:]))
        return SegmentorOutput(logits, embedding, features, head_outputs)

    def supervised_loss(
        self, images: Tensor, output: SegmentorOutput, data_samples: list
    ) -> dict[str, Tensor]:
        """The segmentor's own losses on the first images of a pass, without running them again.

        The segmentor's own ``loss`` runs, with auxiliary heads and extra terms, on the features and
        decode head outputs of ``output`` (see :mod:`.recorded_pass`).

        Args:
            images: (N, 3, H, W), the images of the pass.
            output: Result of :meth:`forward` for them.
            data_samples: Ground truth of the first ``len(data_samples)`` images.

        Returns:
            Losses under the segmentor's own names.
        """
        features, head_outputs = output.features, output.head_outputs
        given = self.segmentor, self.dense_heads, features, head_outputs, images, data_samples
        return losses_of_pass(*given)

    def _default_source(self) -> str:
        head = self.dense_heads[-1]
        prefix = next(name for name, module in self.segmentor.named_modules() if module is head)
        return f"{prefix}.{classifier_name(head)}"

    def _norm_cfg(self) -> dict | None:
        """Norm layer of the module that contains the tap, or else of the decode head."""
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
        """(N, D, h, w) from the tap's input: a map, or one token per logit, (N, h * w, D)."""
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
            f"the input of embedding_source {self.embedding_source!r} has the shape "
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
            f"cannot find the number of channels of the input of embedding_source "
            f"{self.embedding_source!r} ({type(module).__name__}); set it as "
            "projector=dict(in_channels=...)"
        )
