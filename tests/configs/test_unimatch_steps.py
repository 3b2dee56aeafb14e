"""Models of the rows of UniMatch's and UniMatch V2's tables: parts, a step, and a run."""

from copy import deepcopy

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch import nn

from dinov2 import with_stand_in
from shipped_configs import labeled_dataset, load, plain_model, without_weights
from tiny import batch
from unimatch_rows import find, parts


def tiny_dinov2(path):
    """Config of a row's model with the stand-in for DINOv2, on crops of 4 x 4 patches."""
    config = without_weights(load(path).model.to_dict())
    segmentor = with_stand_in(config["segmentor"])
    segmentor["data_preprocessor"].update(size=(56, 56))
    if segmentor["test_cfg"]["mode"] == "slide":
        segmentor["test_cfg"].update(crop_size=(56, 56), stride=(42, 42))
    if config["type"] == "U2PL":
        # Untrained models are not confident, so any pixel may be an anchor.
        head = dict(queue_size=50, num_anchors=8, num_negatives=8, min_prob=0.0)
        config |= dict(contrastive_head=head)
    else:
        config |= dict(tau=0.0)  # for the same reason
    return config | dict(segmentor=segmentor)


def build(config):
    torch.manual_seed(0)
    model = MODELS.build(config)
    model.init_weights()
    return revert_sync_batchnorm(model).train()


@pytest.mark.parametrize(("network", "width"), [("s14", 384), ("b14", 768)])
def test_network_is_that_of_unimatch_v2(network, width):
    config = tiny_dinov2(find("unimatch_v2", network, "voc2012"))
    with torch.device("meta"):
        plain = MODELS.build(config["segmentor"])
    assert plain.neck.weight.shape == (width,)
    head, eighth = plain.decode_head, width // 8
    channels = [project.conv.out_channels for project in head.reassemble_blocks.projects]
    assert channels == [eighth, 2 * eighth, 4 * eighth, 8 * eighth]
    assert head.channels == width // 6
    assert head.dropout is None
    assert head.align_corners
    assert not any(
        isinstance(module, nn.modules.batchnorm._BatchNorm) for module in plain.modules()
    )
    assert plain.backbone.out_indices == (2, 5, 8, 11)


STEPS = [
    find("unimatch", "r50", "voc2012"),
    find("unimatch", "r50", "cityscapes-unimatch"),
    find("unimatch_v2", "s14", "voc2012"),
    find("unimatch_v2", "s14", "cityscapes-unimatch"),
    find("unimatch_v2", "s14", "ade20k-unimatch"),
    find("unimatch_v2", "b14", "voc2012"),
    find("unimatch_v2", "s14-frozen", "voc2012"),
    find("fixmatch", "b14", "voc2012"),
    find("u2pl", "s14", "voc2012"),
    find("u2pl", "s14", "cityscapes-unimatch"),
    find("u2pl", "s14", "ade20k-unimatch"),
]


@pytest.mark.parametrize("path", STEPS)
def test_a_step_at_a_small_crop(path):
    cfg, (method, network, table, _) = load(path), parts(path)
    side = 65 if method == "unimatch" else 56
    if method == "unimatch":
        config = without_weights(cfg.model.to_dict()) | dict(tau=0.0)
        plain = config["segmentor"]  # shallow and narrow
        plain["data_preprocessor"]["size"] = (side, side)
        plain["backbone"].update(depth=18)
        narrow = dict(in_channels=512, channels=8, c1_in_channels=64, c1_channels=8)
        plain["decode_head"].update(narrow)
    else:
        config = tiny_dinov2(path)
    model = build(config)
    optim_wrapper = build_optim_wrapper(model, deepcopy(cfg.optim_wrapper))
    rates = {
        id(parameter): group["lr"]
        for group in optim_wrapper.optimizer.param_groups
        for parameter in group["params"]
    }
    plain = model.student.segmentor
    base = cfg.optim_wrapper.optimizer.lr
    expected = dict(
        backbone=base,
        neck=0.0 if "frozen" in network else base,
        decode_head=base * (40 if "14" in network else 1 if "cityscapes" in table else 10),
    )
    frozen = [name for name, value in plain.named_parameters() if not value.requires_grad]
    assert bool(frozen) == ("frozen" in network)
    for name, parameter in plain.named_parameters():
        if name not in frozen:
            assert rates[id(parameter)] == pytest.approx(expected[name.split(".")[0]])
    start = deepcopy(plain.state_dict())
    log = model.train_step(batch(size=(side, side), num_classes=model.num_classes), optim_wrapper)
    model.after_optimizer_step()
    assert all(value.isfinite() for value in log.values())
    assert all(value > 0 for name, value in log.items() if name.startswith("unsup.loss"))
    assert ("contra.loss_nce" in log) == (method == "u2pl")
    changed = {name for name, value in plain.state_dict().items() if not value.equal(start[name])}
    assert "decode_head.conv_seg.weight" in changed
    if "frozen" in network:
        assert not any(name.startswith(("backbone", "neck")) for name in changed)
    else:
        assert any(name.startswith("backbone") for name in changed)


def test_a_frozen_encoder_in_teacher_optimizer_and_checkpoint():
    path = find("unimatch_v2", "s14-frozen", "voc2012")
    model, other = build(tiny_dinov2(path)), build(tiny_dinov2(path))
    optim_wrapper = build_optim_wrapper(model, deepcopy(load(path).optim_wrapper))
    start = deepcopy(model.student.segmentor.state_dict())
    passes = []
    model.student.segmentor.backbone.register_forward_hook(
        lambda *given: passes.append(any(each.requires_grad for each in given[2]))
    )
    for seed in range(3):
        log = model.train_step(batch(size=(56, 56), num_classes=21, seed=seed), optim_wrapper)
        model.after_optimizer_step()
    assert log["unsup.loss_s1"] > 0
    assert passes
    assert not any(passes)  # nothing is kept for a backward pass
    for network in model.student.segmentor, model.teacher.module.segmentor:
        for name, value in network.state_dict().items():
            still = name.startswith(("backbone", "neck"))
            assert value.equal(start[name]) == still, name
    trained = {id(p): name for name, p in model.student.named_parameters() if p.requires_grad}
    assert {trained.get(id(p)) for p in optim_wrapper.optimizer.state} == {*trained.values()}
    other.load_state_dict(model.state_dict())
    again = build_optim_wrapper(other, deepcopy(load(path).optim_wrapper))
    again.load_state_dict(deepcopy(optim_wrapper.state_dict()))  # unshared, as from a file
    for each, wrapper in (model, optim_wrapper), (other, again):
        each.train_step(batch(size=(56, 56), num_classes=21, seed=9), wrapper)
        each.after_optimizer_step()
    for name, value in other.state_dict().items():
        assert value.equal(model.state_dict()[name]), name


@pytest.mark.parametrize(
    "path",
    [
        "unimatch_v2/unimatch_v2_dpt_dinov2-s14-frozen_4xb8-60e_voc2012-92-518x518.py",
        "suponly/suponly_dpt_dinov2-s14_4xb8-5580i_voc2012-92-518x518.py",
    ],
)
def test_a_row_trains_and_validates(path, voc, tmp_path, monkeypatch):
    monkeypatch.setattr(Config, "pretty_text", "")  # written to the log; slow to lay out
    monkeypatch.setattr("gc.collect", lambda: 0)  # data sets call it
    cfg = deepcopy(load(path))
    semi = "segmentor" in cfg.model
    plain = Config(with_stand_in(without_weights(plain_model(cfg).to_dict())))._cfg_dict
    plain.data_preprocessor.size = (56, 56)
    cfg.model = dict(cfg.model, segmentor=plain) if semi else plain
    labeled_dataset(cfg).pipeline[3].crop_size = (56, 56)
    labeled_dataset(cfg).data_root = cfg.val_dataloader.dataset.data_root = str(voc)
    cfg.test_dataloader = cfg.val_dataloader
    for loader in cfg.train_dataloader, cfg.val_dataloader:
        loader.update(num_workers=0, persistent_workers=False)
    cfg.train_dataloader.batch_size //= 2
    length = "max_epochs" if semi else "max_iters"
    cfg.train_cfg.update({length: 2, "val_interval": 2})
    cfg.param_scheduler[0].end = 2
    cfg.default_hooks.checkpoint.interval = 2
    cfg.auto_scale_lr.enable = True
    cfg.visualizer.name = str(tmp_path)
    cfg.custom_imports = None
    cfg.work_dir = str(tmp_path / "run")
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == (6 if semi else 2)  # six unlabeled images, two per step
    groups = runner.optim_wrapper.optimizer.param_groups
    rates = [5e-6, 2e-4] if not semi else [0.0, 2e-4]
    eighth = [rate / 8 for rate in rates]  # for an eighth of the published batch size
    assert sorted({group["initial_lr"] for group in groups}) == pytest.approx(eighth)
    assert all(group["lr"] == 0.0 for group in groups)
    scores = runner.message_hub.log_scalars
    assert ("val/student/mIoU" in scores) == semi
    assert 0 <= scores["val/mIoU"].current() <= 100
    (name,) = [file.name for file in (tmp_path / "run").glob("*.pth")]
    assert name == ("epoch_2.pth" if semi else "iter_2.pth")
