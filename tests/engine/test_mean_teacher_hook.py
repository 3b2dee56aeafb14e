"""When progress is set and the teacher is updated, in real runs of MMEngine's Runner."""

import inspect
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.registry import MODEL_WRAPPERS
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch import nn
from torch.utils.data import DataLoader

from mmseg_u2pl.engine import MeanTeacherHook, mean_teacher_hook
from mmseg_u2pl.engine.mean_teacher_hook import require_mean_teacher_hook
from mmseg_u2pl.methods import SemiSegmentor, StepResult
from processes import state_of
from tiny import batch, tiny_segmentor, tiny_u2pl


class Recorder(Hook):
    """Records the state of the model and the number of teacher updates at each iteration."""

    priority = "LOWEST"

    def __init__(self):
        self.progress, self.sup_only, self.moves = [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.progress.append(runner.model.progress)
        self.sup_only.append(runner.model.sup_only)
        self.moves.append(runner.model.teacher.steps.value)


def loader(batches):
    return DataLoader(batches, batch_size=1, collate_fn=lambda items: items[0])


def run(
    tmp_path,
    model=None,
    loop=None,
    batches=4,
    optim_wrapper=None,
    snapshots=(),
    experiment_name=None,
    **hook_options,
):
    recorder = Recorder()
    batch_list = [batch(1, 1, seed=i) for i in range(batches)]
    runner = Runner(
        model=model or tiny_u2pl(),
        work_dir=str(tmp_path),
        train_dataloader=loader(batch_list),
        train_cfg=loop or dict(type="IterBasedTrainLoop", max_iters=4),
        optim_wrapper=optim_wrapper or dict(optimizer=dict(type="SGD", lr=0.1)),
        default_hooks=dict(mean_teacher=dict(type="MeanTeacherHook", **hook_options)),
        custom_hooks=[recorder, *snapshots],
        experiment_name=experiment_name,
        default_scope="mmseg",
        log_level="ERROR",
    )
    runner.train()
    return runner, recorder


def test_progress_is_the_share_of_iterations_done(tmp_path):
    _, recorder = run(tmp_path)
    assert recorder.progress == [0.0, 0.25, 0.5, 0.75]
    assert recorder.moves == [1, 2, 3, 4]


def test_steps_are_noticed_when_optimizers_call_no_hooks(tmp_path, monkeypatch):
    """torch.compile of PyTorch 2.1 leaves all optimizers like this."""
    without_hooks = inspect.unwrap(torch.optim.SGD.step)
    monkeypatch.setattr(without_hooks, "hooked", True, raising=False)
    monkeypatch.setattr(torch.optim.SGD, "step", torch.no_grad()(without_hooks))
    monkeypatch.setattr(torch.optim.SGD.step, "hooked", True, raising=False)

    _, recorder = run(tmp_path)

    assert recorder.moves == [1, 2, 3, 4]


def test_progress_in_an_epoch_based_run(tmp_path):
    _, recorder = run(tmp_path, loop=dict(type="EpochBasedTrainLoop", max_epochs=2))
    assert recorder.progress == [i / 8 for i in range(8)]


def test_supervised_only_iterations(tmp_path):
    _, recorder = run(tmp_path, sup_only_iters=3)
    assert recorder.sup_only == [True, True, True, False]


def test_supervised_only_epochs(tmp_path):
    loop = dict(type="EpochBasedTrainLoop", max_epochs=3)
    _, recorder = run(tmp_path, loop=loop, batches=2, sup_only_epochs=1)
    assert recorder.sup_only == [True, True, False, False, False, False]


def test_a_run_of_the_same_name_may_have_epochs_of_another_length(tmp_path):
    for batches in (4, 2):
        loop = dict(type="EpochBasedTrainLoop", max_epochs=2)
        _, recorder = run(tmp_path, loop=loop, batches=batches, experiment_name="same")
        assert len(recorder.progress) == 2 * batches


@pytest.mark.parametrize("sup_only_iters", [3, 4, 5])
def test_a_training_that_never_uses_unlabeled_images_is_warned_of(
    tmp_path, monkeypatch, sup_only_iters
):
    said = []
    monkeypatch.setattr(mean_teacher_hook, "print_log", lambda text, *_: said.append(text))
    run(tmp_path, sup_only_iters=sup_only_iters)
    expected = f"start has {sup_only_iters} iterations, the training 4, so no unlabeled image"
    assert [expected in text for text in said] == ([] if sup_only_iters == 3 else [True])


def test_gradient_accumulation_counts_steps_of_the_optimizer(tmp_path):
    wrapper = dict(optimizer=dict(type="SGD", lr=0.1), accumulative_counts=2)
    _, recorder = run(tmp_path, optim_wrapper=wrapper, sup_only_iters=1)
    assert recorder.moves == [0, 1, 1, 2]
    assert recorder.progress == [0.0, 0.0, 0.5, 0.5]
    assert recorder.sup_only == [True, True, False, False]


@pytest.mark.skipif(
    not hasattr(torch.amp, "GradScaler"), reason="before PyTorch 2.3 gradient scalers need a GPU"
)
@pytest.mark.parametrize("accumulative_counts", [1, 2])
@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
def test_steps_that_overflow_move_neither_student_nor_teacher(
    tmp_path, monkeypatch, fused, accumulative_counts
):
    # MMEngine only has mixed precision for GPUs; its use of a scaler is the same here.
    monkeypatch.setattr(amp_optimizer_wrapper, "is_cuda_available", lambda: True)
    model = tiny_u2pl(unsup_weight=1e6)
    before = state_of(model)
    optimizer = torch.optim.SGD(model.student.parameters(), lr=1e-6, fused=fused)
    wrapper = AmpOptimWrapper(
        dtype="bfloat16", optimizer=optimizer, accumulative_counts=accumulative_counts
    )
    # Gradients of this size times this scale overflow; at the next step the scale is small.
    wrapper.loss_scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, backoff_factor=2.0**-120)
    after = []

    class Snapshot(Hook):
        priority = "LOWEST"

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            after.append(state_of(model))

    _, recorder = run(tmp_path, model, optim_wrapper=wrapper, snapshots=[Snapshot()])

    steps = recorder.moves[accumulative_counts - 1 :: accumulative_counts]
    assert steps == list(range(4 // accumulative_counts))
    for part in ("student", "teacher"):
        assert after[accumulative_counts - 1][part] == before[part]
        assert after[-1][part] != before[part]


def test_teacher_is_the_average_of_the_student_over_the_steps(tmp_path):
    model, weights = tiny_u2pl(teacher=dict(decay=0.6)), []

    class Snapshot(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            weights.append(model.student.segmentor.backbone.first.weight.detach().clone())

    runner = Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=loader([batch(1, 1)]),
        train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=4),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.5)),
        default_hooks=dict(mean_teacher=dict(type="MeanTeacherHook")),
        custom_hooks=[Snapshot()],
        default_scope="mmseg",
        log_level="ERROR",
    )
    runner.train()
    # Decays min(1 - 1 / (step + 1), 0.6) = 0, 1/2, 0.6, 0.6.
    expected = weights[0]
    for decay, weight in zip([0.5, 0.6, 0.6], weights[1:], strict=True):
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(model.teacher.module.segmentor.backbone.first.weight, expected)


def test_a_plain_model_is_refused(tmp_path):
    message = "needs a semi-supervised model, such as U2PL, but the model is EncoderDecoder"
    with pytest.raises(TypeError, match=message):
        run(tmp_path, model=tiny_segmentor())


@pytest.mark.parametrize(
    "options", [dict(sup_only_iters=1, sup_only_epochs=1), dict(sup_only_iters=-1)]
)
def test_impossible_start(tmp_path, options):
    with pytest.raises(ValueError, match="give sup_only_iters or sup_only_epochs"):
        run(tmp_path, **options)


def test_a_teacher_that_nothing_moves_is_refused(tmp_path):
    runner = Runner(
        model=tiny_u2pl(),
        work_dir=str(tmp_path),
        train_dataloader=loader([batch(1, 1)]),
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=4),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        default_hooks=dict(checkpoint=dict(type="SafeCheckpointHook")),
        default_scope="mmseg",
        log_level="ERROR",
    )
    message = r"add `mean_teacher=dict\(type='MeanTeacherHook'\)` to default_hooks"
    with pytest.raises(ValueError, match=message):
        runner.train()


def test_a_teacher_that_moves_twice_a_step_is_refused(tmp_path):
    hooks = [MeanTeacherHook(), MeanTeacherHook(sup_only_iters=2)]
    with pytest.raises(ValueError, match="2 hooks of type MeanTeacherHook; keep the one in def"):
        require_mean_teacher_hook(SimpleNamespace(model=tiny_u2pl(), hooks=hooks))
    require_mean_teacher_hook(SimpleNamespace(model=tiny_u2pl(), hooks=hooks[:1]))


def test_a_plain_model_needs_no_hook():
    model = MODELS.build(tiny_segmentor())
    require_mean_teacher_hook(SimpleNamespace(model=model, hooks=[]))


class WithoutTeacher(SemiSegmentor):
    """A method whose student only learns from labeled images."""

    networks: ClassVar = {"student": "student.segmentor"}

    def __init__(self):
        super().__init__(tiny_segmentor())
        self.student = self.build_network()
        self.moves = []

    def semi_step(self, labeled, unlabeled, generators):
        outputs = self.student(labeled.images)
        losses = self.student.supervised_loss(labeled.images, outputs, labeled.data_samples)
        return StepResult(losses, {}, {})

    def after_optimizer_step(self):
        self.moves.append(self.progress)


def test_a_method_without_a_teacher_is_told_too(tmp_path):
    model = WithoutTeacher()
    Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=loader([batch(1, 1)]),
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=4),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1), accumulative_counts=2),
        default_hooks=dict(mean_teacher=dict(type="MeanTeacherHook")),
        default_scope="mmseg",
        log_level="ERROR",
    ).train()
    assert model.moves == [0.0, 0.5]


class Sharded(nn.Module):
    """Stands in for FSDP and DeepSpeed's engine, which MMEngine also registers as wrappers."""

    def __init__(self, module):
        super().__init__()
        self.module = module


def test_wrappers_that_split_the_weights_are_refused(monkeypatch):
    monkeypatch.setitem(MODEL_WRAPPERS.module_dict, "Sharded", Sharded)
    runner = SimpleNamespace(model=Sharded(tiny_u2pl()), optim_wrapper=None, hooks=[])
    with pytest.raises(TypeError, match="wrapped in Sharded, which shards its weights"):
        MeanTeacherHook().before_train(runner)


def test_several_optimizers_are_refused(tmp_path):
    parts = {
        name: OptimWrapper(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)) for name in "ab"
    }
    with pytest.raises(TypeError, match="OptimWrapperDict has no single PyTorch optimizer"):
        run(tmp_path, optim_wrapper=OptimWrapperDict(**parts))


@pytest.mark.parametrize(
    "options", [dict(update_buffers=True), dict(begin_iter=2), dict(begin_epoch=1)]
)
def test_averages_and_copies_of_queues_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match="EMAHook with update_buffers=True, begin_iter or"):
        run(tmp_path, snapshots=[dict(type="EMAHook", **options)])


def test_averages_of_parameters_alone_are_not(tmp_path):
    _, recorder = run(tmp_path, snapshots=[dict(type="EMAHook")])
    assert recorder.moves == [1, 2, 3, 4]


def test_one_process_may_have_the_hook_of_several(tmp_path):
    _, recorder = run(tmp_path, snapshots=[dict(type="SyncBuffersHook")])
    assert recorder.moves == [1, 2, 3, 4]
