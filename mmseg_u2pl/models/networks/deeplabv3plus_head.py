"""DeepLabv3+ with plain convolutions, the decoder of the paper."""

from functools import partial
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads import ASPPHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class DeepLabV3PlusHead(ASPPHead):
    """Decoder of DeepLabv3+ whose convolutions are not depthwise separable.

    MMSegmentation's ``DepthwiseSeparableASPPHead`` has separable ones in the pyramid and after the
    concatenation. The paper (sec. 4.1) has two plain Conv-BN-ReLU blocks after it, of which the
    first halves the channels. For a representation head parallel to them, set
    ``embedding_source='decode_head.fusion'`` and ``projector=dict(kernel_size=3)``.

    Args:
        c1_in_channels: Channels of the first feature map, which sets the stride of the logits.
        c1_channels: Channels that it is reduced to; if equal to ``channels``, the first block after
            the concatenation halves them.
        pyramid_kernel: Kernel size of the convolution that joins the branches of the pyramid, odd.
        **kwargs: Options of ``ASPPHead``.
    """

    def __init__(
        self, c1_in_channels: int, c1_channels: int, pyramid_kernel: int = 3, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        block = partial(
            ConvModule, conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg
        )
        self.c1_bottleneck = block(c1_in_channels, c1_channels, 1)
        if pyramid_kernel != 3:  # ASPPHead has built it with 3
            joined, padding = (len(self.dilations) + 1) * self.channels, pyramid_kernel // 2
            self.bottleneck = block(joined, self.channels, pyramid_kernel, padding=padding)
        self.fusion = nn.Sequential(
            block(self.channels + c1_channels, self.channels, 3, padding=1),
            block(self.channels, self.channels, 3, padding=1),
        )

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Logits (N, C, h_0, w_0) from the feature maps (N, D_i, h_i, w_i) of all stages."""
        low = self.c1_bottleneck(inputs[0])
        high = resize(
            self._forward_feature(inputs),
            size=low.shape[2:],
            mode="bilinear",
            align_corners=self.align_corners,
        )
        return self.cls_seg(self.fusion(torch.cat([high, low], dim=1)))
