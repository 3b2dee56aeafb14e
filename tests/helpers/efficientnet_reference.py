"""Independent EfficientNet-Lite0, from raw tensors."""

import torch
import torch.nn.functional as F

CHANNELS = (16, 24, 40, 80, 112, 192, 320)


STRIDES = (2, 4, 8, 16, 16, 32, 32)


# One row per block: kernel, stride, expanded channels, output channels.
BLOCKS = (
    (3, 1, 32, 16),
    (3, 2, 96, 24),
    (3, 1, 144, 24),
    (5, 2, 144, 40),
    (5, 1, 240, 40),
    (3, 2, 240, 80),
    (3, 1, 480, 80),
    (3, 1, 480, 80),
    (5, 1, 480, 112),
    (5, 1, 672, 112),
    (5, 1, 672, 112),
    (5, 2, 672, 192),
    (5, 1, 1152, 192),
    (5, 1, 1152, 192),
    (5, 1, 1152, 192),
    (3, 1, 1152, 320),
)


STAGE_ENDS = (0, 2, 4, 7, 10, 14, 15)


def synthetic_weights() -> dict[str, torch.Tensor]:
    """A file like the package's, classifier included, with random values in it."""
    generator = torch.Generator().manual_seed(0)
    weights = {}

    def add(conv, norm, shape):
        fan_in = shape[1] * shape[2] * shape[3]
        weights[f"{conv}.weight"] = torch.randn(shape, generator=generator) * fan_in**-0.5
        for name, low, high in (
            ("weight", 0.5, 1.5),
            ("bias", -0.5, 1.0),
            ("running_mean", -0.3, 0.3),
            ("running_var", 0.002, 1.0),
        ):
            value = torch.rand(shape[0], generator=generator) * (high - low) + low
            weights[f"{norm}.{name}"] = value
        weights[f"{norm}.num_batches_tracked"] = torch.tensor(0)

    add("_conv_stem", "_bn0", (32, 3, 3, 3))
    channels = 32
    for index, (kernel, _, middle, out) in enumerate(BLOCKS):
        block = f"_blocks.{index}."
        if index > 0:
            add(f"{block}_expand_conv", f"{block}_bn0", (middle, channels, 1, 1))
        add(f"{block}_depthwise_conv", f"{block}_bn1", (middle, 1, kernel, kernel))
        add(f"{block}_project_conv", f"{block}_bn2", (out, middle, 1, 1))
        channels = out
    add("_conv_head", "_bn1", (1280, 320, 1, 1))
    weights["_fc.weight"] = torch.zeros(1000, 1280)
    weights["_fc.bias"] = torch.zeros(1000)
    return weights


def pad_same(x, kernel, stride):
    """TensorFlow's rule worked out: at stride 2 an even size gets one row less in front."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        front = kernel // 2 - int(stride == 2 and size % 2 == 0)
        pads += [front, kernel // 2]
    return F.pad(x, pads)


def reference_stages(weights, x):
    """Forward pass from the raw tensors of the weights file."""

    def conv_norm(x, conv, norm, stride=1):
        kernel = weights[f"{conv}.weight"].double()
        x = pad_same(x, kernel.shape[-1], stride)
        x = F.conv2d(x, kernel, stride=stride, groups=x.shape[1] // kernel.shape[1])
        mean, var, gain, bias = (
            weights[f"{norm}.{name}"].double()[:, None, None]
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 0.001).sqrt() * gain + bias

    x = conv_norm(x, "_conv_stem", "_bn0", stride=2).clamp(0, 6)
    stages = []
    for index, (_, stride, _, _) in enumerate(BLOCKS):
        block = f"_blocks.{index}."
        y = x
        if index > 0:
            y = conv_norm(y, f"{block}_expand_conv", f"{block}_bn0").clamp(0, 6)
        y = conv_norm(y, f"{block}_depthwise_conv", f"{block}_bn1", stride).clamp(0, 6)
        y = conv_norm(y, f"{block}_project_conv", f"{block}_bn2")
        x = x + y if x.shape == y.shape else y
        if index in STAGE_ENDS:
            stages.append(x)
    return stages
