"""The representation head of U2PL."""

from itertools import pairwise

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmseg_u2pl.ops import EmbeddingMap
from mmseg_u2pl.utils.options import require_count, require_options


class Projector(BaseModule):
    """Representation head: blocks of convolution, norm and ReLU, then a linear 1x1 convolution.

    As in the paper (sec. 4.1) the first block halves the channels.

    Args:
        in_channels: Channels of the tapped feature map.
        embed_dims: D, channels of the embedding.
        num_convs: Number of blocks.
        kernel_size: Kernel size of the blocks; 3 in the paper's network. A size of 1 costs a ninth
            and suffices if the features come from spatial convolutions of a decode head.
        norm_cfg: Norm layer of the blocks.

    Raises:
        TypeError: If ``norm_cfg`` is not a dictionary.
        ValueError: If a number is out of its range, or the norm layer does not fit the channels.
    """

    def __init__(
        self,
        in_channels: int,
        embed_dims: int = 256,
        num_convs: int = 2,
        kernel_size: int = 1,
        norm_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        require_options("the projector's norm_cfg", norm_cfg)
        require_count("the projector's embed_dims", embed_dims)
        require_count("the projector's num_convs", num_convs, minimum=0)
        require_count("the projector's kernel_size", kernel_size)
        if kernel_size % 2 == 0:
            raise ValueError(f"the projector's kernel_size must be odd, got {kernel_size}")
        self.embed_dims = embed_dims
        hidden = max(in_channels // 2, 1)
        norm_cfg = norm_cfg or dict(type="BN")
        widths = [in_channels] + [hidden] * num_convs
        options = dict(padding=kernel_size // 2, norm_cfg=norm_cfg)
        try:
            blocks = [ConvModule(*pair, kernel_size, **options) for pair in pairwise(widths)]
        except ValueError as error:  # of GroupNorm
            raise ValueError(
                f"the projector's blocks have {hidden} channels, half of those that enter "
                f"embedding_source, but its norm layer {norm_cfg} does not fit: {error}. Choose "
                "another, such as projector=dict(norm_cfg=dict(type='GN', num_groups=1))"
            ) from error
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Conv2d(widths[-1], embed_dims, kernel_size=1)

    def forward(self, features: Tensor) -> EmbeddingMap:
        """Project features (N, in_channels, h, w) to unnormalized embeddings."""
        return EmbeddingMap(self.blocks(features), self.linear.weight.flatten(1), self.linear.bias)
