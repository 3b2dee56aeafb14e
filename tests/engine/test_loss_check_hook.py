from types import SimpleNamespace

import pytest
import torch
from mmseg.structures import SegDataSample

from mmseg_u2pl.engine import LossCheckHook, loss_check_hook

NAN, INF = float("nan"), float("inf")


def step(hook, iteration, unsup=0.5, contra=0.1, **others):
    outputs = {
        "loss": torch.tensor(unsup + contra),
        "unsup.loss_ce": torch.tensor(unsup),
        "contra.loss_nce": torch.tensor(contra),
        "gamma_t": torch.tensor(NAN),  # statistics may have any value
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


def scaled(**options):
    """A hook in a run whose optimizer wrapper has a gradient scaler."""
    hook = LossCheckHook(**options)
    scaler = SimpleNamespace(is_enabled=lambda: True)
    hook.before_train(SimpleNamespace(optim_wrapper=SimpleNamespace(loss_scaler=scaler)))
    return hook


@pytest.mark.parametrize("interval", [1, 2, 10])
def test_a_gradient_scaler_may_skip_a_few_steps_in_a_row(interval, monkeypatch):
    said = []
    monkeypatch.setattr(loss_check_hook, "print_log", lambda text, *_: said.append(text))
    hook = scaled(interval=interval, max_skipped_steps=2)
    for iteration, unsup in enumerate([NAN, INF, 0.5, NAN, INF, 0.5], 1):
        step(hook, iteration, unsup=unsup)
    hook.before_save_checkpoint(None, dict(state_dict={}))
    assert [text.partition(":")[0] for text in said] == [f"iteration {i}" for i in (1, 2, 4, 5)]
    assert "unsup.loss_ce is NaN" in said[0]
    assert said[0].endswith("1_a.jpg, 1_b.jpg. The gradient scaler skips it.")


@pytest.mark.parametrize("interval", [1, 2, 10])
def test_a_gradient_scaler_does_not_mend_a_loss_that_stays_bad(interval):
    hook = scaled(interval=interval, max_skipped_steps=2)

    def train():
        for iteration, unsup in enumerate([0.5, NAN, NAN, NAN], 1):
            step(hook, iteration, unsup=unsup)
        hook.after_train(None)

    with pytest.raises(FloatingPointError, match=r"^iteration 4: unsup\.loss_ce is NaN"):
        train()


@pytest.mark.parametrize("scaler", [None, torch.cuda.amp.GradScaler(enabled=False)])
def test_without_an_enabled_scaler_no_step_is_skipped(scaler):
    hook = LossCheckHook(interval=1)
    hook.before_train(SimpleNamespace(optim_wrapper=SimpleNamespace(loss_scaler=scaler)))
    with pytest.raises(FloatingPointError, match="iteration 1"):
        step(hook, 1, unsup=NAN)


def look_before_a_checkpoint(rank):
    """Losses of rank 1 are bad in step 2; return the error of rank 0, which saves."""
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


@pytest.mark.parametrize(("option", "value"), [("interval", 0), ("max_skipped_steps", -1)])
def test_impossible_options(option, value):
    with pytest.raises(ValueError, match="interval must be at least 1 and max_skipped_steps"):
        LossCheckHook(**{option: value})
