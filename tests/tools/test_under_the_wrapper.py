"""MMEngine treats the segmentor inside U2PL like a plain model."""

import pytest
import torch
from mmengine.analysis import get_model_complexity_info
from mmengine.model import convert_sync_batchnorm, revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.runner import checkpoint as loading
from mmseg.registry import MODELS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from plain_training import plain_config
from tiny import batch, tiny_segmentor, tiny_u2pl

CPU = torch.device("cpu")


def u2pl(segmentor: dict) -> nn.Module:
    torch.manual_seed(0)
    head = dict(num_anchors=6, num_negatives=7, queue_size=50, min_prob=0.0)
    model = MODELS.build(dict(type="U2PL", segmentor=segmentor, contrastive_head=head))
    model.init_weights()
    return model.train()


def train(model: nn.Module) -> dict[str, torch.Tensor]:
    """Two steps; returns the weights."""
    cfg = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1))
    wrapper = build_optim_wrapper(model, cfg | dict(constructor="StudentOptimWrapperConstructor"))
    torch.manual_seed(1)  # of dropout
    for step in range(2):
        losses = model.train_step(batch(seed=step), wrapper)
        assert losses["contra.loss_nce"] > 0
        model.after_optimizer_step()
    return model.state_dict()


@pytest.mark.parametrize("key", ["init_cfg", "pretrained"])
def test_pretrained_backbone_is_read_once_and_reaches_both(key, tmp_path, monkeypatch):
    segmentor = plain_config(tmp_path).model
    trained = MODELS.build(segmentor.backbone)
    trained.init_weights()
    path = str(tmp_path / "backbone.pth")
    torch.save(trained.state_dict(), path)
    if key == "init_cfg":
        segmentor.backbone.init_cfg = dict(type="Pretrained", checkpoint=path)
    else:
        segmentor.pretrained = path
    read = []

    def load_checkpoint(model, filename, *arguments, **options):
        read.append(filename)
        return original(model, filename, *arguments, **options)

    original = loading.load_checkpoint
    monkeypatch.setattr(loading, "load_checkpoint", load_checkpoint)
    model = u2pl(segmentor)
    assert read == [path]
    for network in (model.student, model.teacher.module):
        state = network.segmentor.backbone.state_dict()
        assert all(torch.equal(state[name], value) for name, value in trained.state_dict().items())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_sync_batch_norm_comes_and_goes(tmp_path):
    """Like MMEngine, convert to SyncBN on several GPUs (`sync_bn`), to BN in a single process."""

    def kinds(model):
        """Numbers of synchronized and other batch norms of student and teacher."""
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        sync = sum(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
        return sync, len(norms) - sync

    # Five of the U-Net and its head and two of the projector, twice.
    assert kinds(u2pl(plain_config(tmp_path).model)) == (14, 0)
    reverted = revert_sync_batchnorm(u2pl(plain_config(tmp_path).model))
    assert kinds(reverted) == (0, 14)
    again = convert_sync_batchnorm(
        revert_sync_batchnorm(u2pl(plain_config(tmp_path).model)), "torch"
    )
    assert kinds(again) == (14, 0)
    for model in (reverted, again):
        assert all(parameter.requires_grad for parameter in model.student.parameters())
        assert not any(parameter.requires_grad for parameter in model.teacher.parameters())
    # Within one process the two are the same function.
    torch.testing.assert_close(train(again), train(reverted))


def test_every_weight_of_the_student_gets_a_gradient(tmp_path):
    """So distributed training needs no `find_unused_parameters`, in neither kind of step."""
    model = revert_sync_batchnorm(u2pl(plain_config(tmp_path).model))
    for sup_only in (True, False):
        model.sup_only = sup_only
        model.zero_grad()
        data = model.data_preprocessor(batch(), training=True)
        losses = model(**data, mode="loss")
        sum(value for name, value in losses.items() if "loss" in name).backward()
        assert all(parameter.grad is not None for parameter in model.student.parameters())
        assert all(parameter.grad is None for parameter in model.teacher.parameters())


def test_compiled_step_draws_the_same_numbers(tmp_path):
    """`compile=True` of a config compiles the training step, whose NumPy must not be traced."""
    seeds = []
    for compiling in (False, True):
        model = u2pl(plain_config(tmp_path).model)

        def draw(model=model):
            return [generator.initial_seed() for generator in model.random.next(CPU)]

        draw = torch.compile(draw, backend="eager") if compiling else draw
        seeds.append([draw(), draw()])
    assert seeds[0] == seeds[1]
    assert seeds[0][0] != seeds[0][1]


def test_compiled_student_says_the_same():
    """It is traced with the replaced methods of a pass."""
    model = tiny_u2pl()
    images = torch.rand(2, 3, 32, 32)
    expected = model.student(images)

    output = torch.compile(model.student, backend="eager")(images)

    torch.testing.assert_close(output.logits, expected.logits)
    torch.testing.assert_close(output.embedding, expected.embedding)


def test_complexity_is_that_of_the_plain_model():
    """Measured like MMSegmentation's get_flops.py."""
    flops = [
        get_model_complexity_info(
            model.eval(), inputs=torch.rand(1, 3, 32, 32), show_table=False, show_arch=False
        )["flops"]
        for model in (tiny_u2pl(), MODELS.build(tiny_segmentor()))
    ]
    assert flops[0] == flops[1] > 100_000
