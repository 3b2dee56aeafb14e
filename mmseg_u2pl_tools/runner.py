"""The runner of ``tools/train.py`` and ``tools/test.py``."""

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import RUNNERS

from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl.engine.mean_teacher_hook import require_mean_teacher_hook
from mmseg_u2pl.engine.resume.checkpoint_checks import require_same_kind
from mmseg_u2pl_tools.errors import UsageError, config_error, config_errors

RUN_ERRORS = (UsageError, DataError, FloatingPointError)
"""Errors that end a run with a message; :class:`LossCheckHook` raises the last one."""


class _RefusalHook(Hook):
    """Refuses mistakes that MMEngine accepts silently; works whatever hooks the config has."""

    def before_train(self, runner: Runner) -> None:
        """Refuse a teacher that no hook updates."""
        require_mean_teacher_hook(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of a semi-supervised run for a plain model."""
        require_same_kind(runner, checkpoint)


class _FirstStepHook(Hook):
    """Notes that config and data work: all parts are built and a first batch is loaded."""

    def __init__(self) -> None:
        self.is_reached = False

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Note it, in a training."""
        self.is_reached = True

    def before_test_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Note it, in a test."""
        self.is_reached = True


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config.

    It refuses to load a checkpoint of a semi-supervised run into a plain model, whose weights would
    stay random, and to train a teacher that no hook updates.

    Args:
        cfg: The config with the flags of the tool applied.

    Returns:
        The runner, before it loads a checkpoint.
    """
    runner = RUNNERS.build(cfg) if "runner_type" in cfg else Runner.from_cfg(cfg)
    runner.register_hook(_RefusalHook())
    return runner


def run(cfg: Config, config: str, action: str, hooks: Sequence[Hook] = ()) -> None:
    """Build the runner of a config, and train or test.

    Args:
        cfg: The config with the flags of the tool applied.
        config: The file, as on the command line.
        action: ``"train"`` or ``"test"``.
        hooks: Additional hooks.

    Raises:
        UsageError: An exception before the first step, which means that config or data are wrong.
        Exception: Any later exception, unchanged.
    """
    with config_errors(config):
        runner = build_runner(cfg)
    first_step = _FirstStepHook()
    for hook in (*hooks, first_step):
        runner.register_hook(hook)
    try:
        getattr(runner, action)()
    except Exception as error:
        if first_step.is_reached:
            raise
        raise config_error(config, error) from error
