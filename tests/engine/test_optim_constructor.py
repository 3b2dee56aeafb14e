"""Parameter groups under U2PL are those of the plain model."""

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import DefaultOptimWrapperConstructor, build_optim_wrapper
from mmseg.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from torch import Tensor, nn

from tiny import TinyBackbone, tiny_segmentor, tiny_u2pl


@MODELS.register_module()
class TinyConvNeXt(TinyBackbone):
    """Has the parameter names of a ConvNeXt, which layer decay uses."""

    def __init__(self) -> None:
        super().__init__()
        self.downsample_layers = nn.ModuleList(nn.Conv2d(2, 2, 1) for _ in range(4))
        self.stages = nn.ModuleList(
            nn.ModuleList(nn.Sequential(nn.Conv2d(2, 2, 1), nn.LayerNorm(2)) for _ in range(depth))
            for depth in (1, 1, 4, 1)
        )


@MODELS.register_module()
class TinyBEiT(TinyBackbone):
    """Has the parameter names of a BEiT."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 2))
        self.patch_embed = nn.Conv2d(3, 2, 2)
        self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))


def groups(optim_wrapper, model: nn.Module) -> dict[str, dict]:
    """Options of each parameter's group, by its name in the model; each occurs once."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {}
    for group in optim_wrapper.optimizer.param_groups:
        options = {k: v for k, v in group.items() if k not in ("params", "param_names")}
        for parameter in group["params"]:
            assert names[parameter] not in found
            found[names[parameter]] = options
    return found


def config(paramwise_cfg: dict | None = None, **changes) -> dict:
    base = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=0.1, weight_decay=0.5))
    return base | changes | (dict(paramwise_cfg=paramwise_cfg) if paramwise_cfg else {})


def segmentor(backbone: str) -> dict:
    return tiny_segmentor() | dict(backbone=dict(type=backbone))


def student_groups(cfg: dict, plain: str | None, model: nn.Module) -> tuple[dict, dict]:
    """Groups of the segmentor, by their plain names, and those of the projector."""
    paramwise_cfg = cfg.get("paramwise_cfg", {}) | (dict(constructor=plain) if plain else {})
    wrapper = build_optim_wrapper(
        model,
        cfg | dict(constructor="StudentOptimWrapperConstructor", paramwise_cfg=paramwise_cfg),
    )
    found = groups(wrapper, getattr(model, "module", model).student)
    prefix = "segmentor."
    own = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
    return own, {k: v for k, v in found.items() if not k.startswith(prefix)}


CASES = [
    ("TinyBackbone", None, None),
    ("TinyBackbone", None, dict(norm_decay_mult=0.0, bias_lr_mult=2.0, bias_decay_mult=0.0)),
    (
        "TinyBEiT",
        None,
        dict(
            custom_keys={
                "backbone": dict(lr_mult=0.1),
                "backbone.layers.1": dict(lr_mult=0.3, decay_mult=0.0),
                ".cls_token": dict(decay_mult=0.0),
                "head": dict(lr_mult=10.0),
                # Parts of the prefix 'student.segmentor.', which must not match.
                "segmentor": dict(lr_mult=7.0),
                ".backbone": dict(lr_mult=8.0),
            }
        ),
    ),
    ("TinyBEiT", "LayerDecayOptimizerConstructor", dict(num_layers=3, layer_decay_rate=0.9)),
    (
        "TinyConvNeXt",
        "LearningRateDecayOptimizerConstructor",
        dict(num_layers=6, decay_rate=0.9, decay_type="layer_wise"),
    ),
    (
        "TinyConvNeXt",
        "LearningRateDecayOptimizerConstructor",
        dict(num_layers=4, decay_rate=0.9, decay_type="stage_wise"),
    ),
    (
        "TinyBackbone",
        "ForceDefaultOptimWrapperConstructor",
        dict(
            custom_keys=dict(backbone=dict(lr_mult=0.1)),
            bias_decay_mult=0.0,
            force_default_settings=True,
        ),
    ),
]


@pytest.mark.parametrize(("backbone", "constructor", "paramwise_cfg"), CASES)
@pytest.mark.filterwarnings("ignore:DeprecationWarning")
def test_groups_are_those_of_the_plain_model(backbone, constructor, paramwise_cfg):
    cfg = config(paramwise_cfg)
    plain = MODELS.build(segmentor(backbone))
    named = dict(constructor=constructor) if constructor else {}
    expected = groups(build_optim_wrapper(plain, cfg | named), plain)
    assert set(expected) == {name for name, _ in plain.named_parameters()}

    own, projector = student_groups(cfg, constructor, tiny_u2pl(segmentor(backbone)))
    assert own == expected
    assert {name.split(".")[0] for name in projector} == {"projector"}
    assert len(projector) == 8  # two blocks of weight, scale and shift; weight and bias


def test_projector_is_treated_as_the_decode_head():
    keys = dict(custom_keys=dict(decode_head=dict(lr_mult=10.0)), norm_decay_mult=0.0)
    _, projector = student_groups(config(keys), None, tiny_u2pl())
    assert {options["lr"] for options in projector.values()} == {1.0}
    _, projector = student_groups(config(dict(norm_decay_mult=0.0)), None, tiny_u2pl())
    assert {k for k, options in projector.items() if options["weight_decay"] == 0.0} == {
        f"projector.blocks.{block}.gn.{name}" for block in (0, 1) for name in ("weight", "bias")
    }


@pytest.mark.filterwarnings("ignore:DeprecationWarning")
def test_projector_has_the_full_rate_under_layer_decay():
    layers = dict(num_layers=3, layer_decay_rate=0.5)
    model = tiny_u2pl(segmentor("TinyBEiT"))
    own, projector = student_groups(config(layers), CASES[3][1], model)
    assert {options["lr"] for options in projector.values()} == {0.1}
    assert own["backbone.cls_token"]["lr"] == pytest.approx(0.1 * 0.5**4)


def test_one_step_moves_the_student_alone():
    model = tiny_u2pl()
    wrapper = build_optim_wrapper(model, config(constructor="StudentOptimWrapperConstructor"))
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    loss: Tensor = sum(parameter.sum() for parameter in model.student.parameters())
    wrapper.update_params(loss)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) == name.startswith("teacher."), name


def test_config_is_not_changed_and_wrapper_options_arrive():
    paramwise_cfg = dict(constructor="DefaultOptimWrapperConstructor", bias_lr_mult=2.0)
    cfg = config(accumulative_counts=4)
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.get("StudentOptimWrapperConstructor")
    wrapper = constructor(cfg, paramwise_cfg)(tiny_u2pl())
    assert wrapper._accumulative_counts == 4
    assert paramwise_cfg == dict(constructor="DefaultOptimWrapperConstructor", bias_lr_mult=2.0)
    assert cfg == config(accumulative_counts=4)


def test_model_inside_the_wrapper_of_distributed_training(monkeypatch):
    # Its constructor needs a process group; only its type matters here.
    monkeypatch.setattr(MMDistributedDataParallel, "__init__", nn.Module.__init__)
    wrapped = MMDistributedDataParallel()
    wrapped.module = tiny_u2pl()
    own, projector = student_groups(config(), None, wrapped)
    assert len(own) == 12
    assert len(projector) == 8


def test_model_of_another_kind():
    plain = MODELS.build(tiny_segmentor())
    cfg = config(constructor="StudentOptimWrapperConstructor")
    with pytest.raises(TypeError, match="but the model is EncoderDecoder; remove it"):
        build_optim_wrapper(plain, cfg)
    # The plain model needs none.
    assert DefaultOptimWrapperConstructor(config())(plain)
