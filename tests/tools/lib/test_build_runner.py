"""Mistakes that the tools' runner refuses, whatever hooks the config has."""

import pytest
import torch
from mmengine.hooks import Hook

from mmseg_u2pl_tools.errors import UsageError
from mmseg_u2pl_tools.runner import build_runner, run
from plain_training import plain_config, write_images, write_list
from tiny import tiny_u2pl


@pytest.fixture
def config(tmp_path):
    """Make the config of a run with only MMEngine's hooks."""
    write_images(tmp_path, "ab")
    for name in ("train", "val"):
        write_list(tmp_path / f"{name}.txt", "ab")
    return lambda **changes: plain_config(tmp_path, work_dir=str(tmp_path / "run"), **changes)


@pytest.mark.parametrize("action", ["train", "test"])
def test_a_plain_config_does_not_take_a_checkpoint_of_a_semi_supervised_run(
    config, tmp_path, action
):
    path = tmp_path / "semi.pth"
    torch.save(dict(state_dict=tiny_u2pl().state_dict()), path)
    runner = build_runner(config(load_from=str(path)))
    with pytest.raises(ValueError, match=r"semi-supervised run, but .* plain EncoderDecoder"):
        getattr(runner, action)()


def test_a_plain_config_takes_a_plain_checkpoint(config, tmp_path):
    path, weights = tmp_path / "plain.pth", build_runner(config()).model.state_dict()
    torch.save(dict(state_dict=weights), path)
    runner = build_runner(config(load_from=str(path)))
    runner.test()
    assert all(torch.equal(v, weights[k]) for k, v in runner.model.state_dict().items())


def test_a_teacher_that_nothing_moves_is_refused(config):
    model = dict(type="U2PL", segmentor=config().model)
    with pytest.raises(ValueError, match="no hook updates the teacher"):
        build_runner(config(model=model)).train()


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("model", dict(type="Net"), "net.py: KeyError: Net is not in the"),
        ("train_dataloader", dict(depth=3), "net.py: TypeError: .*depth"),
        ("optim_wrapper", dict(optimizer=dict(type="SGD", speed=1)), "net.py: TypeError: .*speed"),
    ],
)
def test_what_ends_a_run_before_its_first_step_is_an_error_of_the_config(
    config, part, change, message
):
    cfg = config()
    cfg[part].update(change)
    with pytest.raises(UsageError, match=message):
        run(cfg, "net.py", "train")


class _BreaksHook(Hook):
    def after_train_iter(self, runner, *args, **kwargs):
        raise ValueError("a bug")

    after_test_iter = after_train_iter


@pytest.mark.parametrize("action", ["train", "test"])
def test_what_ends_a_run_later_is_as_it_was(config, action):
    with pytest.raises(ValueError, match="a bug") as caught:
        run(config(), "net.py", action, [_BreaksHook()])
    assert type(caught.value) is ValueError
