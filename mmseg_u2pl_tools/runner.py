"""The runner of ``tools/train.py`` and ``tools/test.py``."""

from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import RUNNERS

from mmseg_u2pl.engine.mean_teacher_hook import require_mean_teacher_hook
from mmseg_u2pl.engine.resume.checkpoint_checks import require_same_kind


class _RefusalHook(Hook):
    """Refuses what MMEngine does without complaint, whichever hooks the config has."""

    def before_train(self, runner: Runner) -> None:
        """Refuse a teacher that no hook moves."""
        require_mean_teacher_hook(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of a semi-supervised run for a plain model."""
        require_same_kind(runner, checkpoint)


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config.

    It refuses to load a checkpoint of a semi-supervised run into a plain model, whose weights would
    stay random, and to train a teacher that no hook moves.

    Args:
        cfg: The config, as the flags of the tool changed it.

    Returns:
        The runner, before it loads a checkpoint.
    """
    runner = RUNNERS.build(cfg) if "runner_type" in cfg else Runner.from_cfg(cfg)
    runner.register_hook(_RefusalHook())
    return runner
