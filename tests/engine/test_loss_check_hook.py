from types import SimpleNamespace

import pytest
import torch
from mmseg.structures import SegDataSample

from mmseg_u2pl.engine import LossCheckHook

NAN, INF = float("nan"), float("inf")


def step(hook, iteration, unsup=0.5, contra=0.1, **others):
    outputs = {
        "loss": torch.tensor(unsup + contra),
        "unsup.loss_ce": torch.tensor(unsup),
        "contra.loss_nce": torch.tensor(contra),
        "gamma_t": torch.tensor(NAN),  # a statistic may be anything
        **others,
    }
    names = [f"{iteration}_{letter}.jpg" for letter in "ab"]
    samples = [SegDataSample(metainfo=dict(img_path=name)) for name in names]
    runner = SimpleNamespace(iter=iteration - 1)
    hook.after_train_iter(runner, iteration - 1, dict(data_samples=samples), outputs)


def test_good_losses_pass():
    hook = LossCheckHook(interval=2)
    for iteration in range(1, 8):
        step(hook, iteration)
    hook.before_save_checkpoint(None, dict(state_dict={}))
    hook.after_train(None)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_the_first_bad_step_its_losses_and_its_images_are_named(value):
    hook = LossCheckHook(interval=4)
    step(hook, 1)
    step(hook, 2, contra=value)
    step(hook, 3, contra=NAN, unsup=NAN)
    match = r"^iteration 2: contra.loss_nce is NaN or infinite. The images were 2_a.jpg, 2_b.jpg\."
    with pytest.raises(FloatingPointError, match=match):
        step(hook, 4)


def test_several_bad_losses_are_all_named():
    hook = LossCheckHook(interval=1)
    with pytest.raises(FloatingPointError, match=r"iteration 5: unsup.loss_ce, contra.loss_nce is"):
        step(hook, 5, unsup=NAN, contra=INF)


def test_no_checkpoint_is_written_after_a_bad_step_and_no_training_ends_with_one():
    for look in (
        lambda hook: hook.before_save_checkpoint(None, dict(state_dict={})),
        lambda h: h.after_train(None),
    ):
        hook = LossCheckHook(interval=100)
        step(hook, 1, unsup=NAN)
        with pytest.raises(FloatingPointError, match=r"unsup\.loss_ce"):
            look(hook)


@pytest.mark.parametrize(
    ("name", "value", "is_bad"),
    [
        ("teacher.bn.running_var", NAN, True),
        ("teacher.bn.running_mean", INF, True),
        ("student.conv.weight", NAN, True),
        ("student.attention_mask", -INF, False),
    ],
)
def test_weights_that_are_no_numbers_are_not_written(name, value, is_bad):
    counter = torch.tensor(3)
    state = {"bn.num_batches_tracked": counter, name: torch.tensor([1.0, value])}
    hook = LossCheckHook()
    if is_bad:
        with pytest.raises(FloatingPointError, match=f"{name} is NaN or infinite, so no checkp"):
            hook.before_save_checkpoint(None, dict(state_dict=state))
    else:
        hook.before_save_checkpoint(None, dict(state_dict=state))


def look_before_a_checkpoint(rank):
    """Losses of rank 1 are bad in step 2; what rank 0, which writes the checkpoint, says."""
    hook = LossCheckHook(interval=100)
    for iteration in (1, 2, 3):
        step(hook, iteration, unsup=NAN if rank == 1 and iteration == 2 else 0.5)
    try:
        hook.before_save_checkpoint(None, dict(state_dict={}))
    except FloatingPointError as error:
        return str(error)


def test_a_bad_loss_of_another_process_stops_the_one_that_writes(processes):
    first, second = processes.run(look_before_a_checkpoint)[:2]
    assert first.startswith("iteration 2: a loss of another process is NaN or infinite;")
    assert second.startswith("iteration 2: unsup.loss_ce is NaN or infinite. The images were 2_a")


def test_wrong_interval():
    with pytest.raises(ValueError, match="LossCheckHook: interval must be at least 1, got 0"):
        LossCheckHook(interval=0)
