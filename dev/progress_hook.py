"""Shows the progress of a training."""

import atexit
from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_u2pl.utils.progress import ProgressBar

_SMOOTHING = 10  # iterations over which a shown loss is averaged


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows iteration, losses and remaining time of a training on standard output.

    On a terminal it is a live progress bar; in a file or pipe, a plain line after about every tenth
    of the training. Losses are means over the last 10 iterations. MMEngine's log is unchanged;
    ``log_level='WARNING'`` keeps it off the screen.

    Args:
        title: Name of the training, in a word or two.
    """

    # After RuntimeInfoHook, which keeps the losses.
    priority = "LOW"

    def __init__(self, title: str) -> None:
        self._bar = ProgressBar(title, stderr=False, transient=False, quiet_seconds=0)
        self._losses = ""

    def before_train(self, runner: Runner) -> None:
        """Start the bar at the first iteration of the training."""
        # The bar hides the cursor, which must come back after an error or Ctrl-C.
        atexit.register(self._bar.stop)
        self._bar.start(runner.max_iters, runner.iter)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | Sequence | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Advance the bar, or print a line at each tenth."""
        self._losses = describe_losses(runner.message_hub, outputs or {})
        self._bar.update(runner.iter + 1, self._losses)

    def before_val(self, runner: Runner) -> None:
        """Show that the bar waits for a validation."""
        self._bar.show("validating")

    def after_val(self, runner: Runner) -> None:
        """Show the losses again."""
        self._bar.show(self._losses)

    def after_train(self, runner: Runner) -> None:
        """Leave the finished bar on the screen."""
        self._bar.stop()
        atexit.unregister(self._bar.stop)


def describe_losses(message_hub: MessageHub, outputs: dict) -> str:
    """The total loss and, if there are several, its parts.

    Args:
        message_hub: Holds the history of every output as ``train/<name>``.
        outputs: Result of the training step; its losses are the names that contain ``loss``.

    Returns:
        For example ``'loss 1.250  sup 1.000  unsup 0.200  contra 0.050'``, where a part is the sum
        of the losses whose names are equal up to the first dot.
    """
    parts: dict[str, float] = {}
    for name in outputs:
        if "loss" in name:
            part = name.split(".")[0]
            mean = float(message_hub.get_scalar(f"train/{name}").mean(_SMOOTHING))
            parts[part] = parts.get(part, 0.0) + mean
    if len(parts) == 2 and "loss" in parts:  # the total equals its only part
        parts = {"loss": parts["loss"]}
    return "  ".join(f"{part} {value:.3f}" for part, value in parts.items())
