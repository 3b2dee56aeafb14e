"""Keeps the model informed of the training's progress and moves its teacher."""

import logging
from collections.abc import Sequence
from typing import Any

from mmengine.dist import is_distributed
from mmengine.hooks import EMAHook, Hook, SyncBuffersHook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch.optim import Optimizer

from mmseg_u2pl.methods import SemiSegmentor
from mmseg_u2pl.utils.unwrap import unwrapped


def require_mean_teacher_hook(runner: Runner) -> None:
    """Refuse to train a teacher that nothing moves, or that moves twice a step.

    A config's ``custom_hooks`` replace those of its base, and without the hook all goes on as if
    nothing were wrong: the losses fall, and what is scored and exported is the first teacher. With
    two of them the last one decides how long the supervised-only start is.

    Args:
        runner: Before it trains.

    Raises:
        ValueError: The model has a teacher, and not one hook is a :class:`MeanTeacherHook`.
    """
    if not isinstance(unwrapped(runner.model), SemiSegmentor):
        return
    count = sum(isinstance(hook, MeanTeacherHook) for hook in runner.hooks)
    if count > 1:
        raise ValueError(
            f"custom_hooks has {count} MeanTeacherHooks, each of which would move the teacher; let "
            "there be one. Options of a base config's can be changed with "
            "--cfg-options custom_hooks.1.sup_only_iters=..., where it is the second of the list."
        )
    if count == 0:
        raise ValueError(
            "no hook moves the teacher, which would keep its first weights; add "
            "dict(type='MeanTeacherHook') to custom_hooks. A list in a config replaces that of its "
            "base: custom_hooks = [*_base_.custom_hooks, ...] keeps the hooks of "
            "configs/_base_/u2pl.py."
        )


@HOOKS.register_module()
class MeanTeacherHook(Hook):
    """Sets ``progress`` and ``sup_only`` before each step and moves the teacher after it.

    The teacher moves when the optimizer steps: with gradient accumulation not at each iteration,
    and in mixed precision not when the step is skipped because gradients overflowed. All iterations
    that one step of the optimizer is made of have the same progress.

    Args:
        sup_only_iters: Iterations at the start that use the labeled images alone. With gradient
            accumulation, an optimizer step that has begun so ends so.
        sup_only_epochs: The same in epochs, passes over the dataloader; only one of the two. (The
            paper: 1 on VOC, 20 on Cityscapes.)

    Raises:
        ValueError: If both are given or one is negative.
    """

    def __init__(self, sup_only_iters: int = 0, sup_only_epochs: int = 0) -> None:
        if min(sup_only_iters, sup_only_epochs) < 0 or (sup_only_iters and sup_only_epochs):
            raise ValueError(
                "give sup_only_iters or sup_only_epochs, not negative and not both; got "
                f"{sup_only_iters} and {sup_only_epochs}"
            )
        self.sup_only_iters = sup_only_iters
        self.sup_only_epochs = sup_only_epochs
        self._has_stepped = False

    def before_train(self, runner: Runner) -> None:
        """Turn epochs into iterations; refuse a model without a teacher, and averaged queues.

        Raises:
            TypeError: The model has no teacher.
            ValueError: Another hook would change the queues.
        """
        model = unwrapped(runner.model)
        if not isinstance(model, SemiSegmentor):
            raise TypeError(
                f"MeanTeacherHook works on U2PL, but the model is {type(model).__name__}; remove "
                "the hook from custom_hooks or wrap the model: "
                "model=dict(type='U2PL', segmentor=...)"
            )
        if is_distributed() and any(isinstance(hook, SyncBuffersHook) for hook in runner.hooks):
            raise ValueError(
                "SyncBuffersHook averages all buffers over the processes, and with them queues, "
                "counters and the seed; remove it from custom_hooks, and use SyncBN for common "
                "statistics of batch norm"
            )
        emas = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
        copies = [hook for hook in emas if hook.begin_iter or hook.begin_epoch]
        if copies or any(hook.ema_cfg.get("update_buffers") for hook in emas):
            raise ValueError(
                "EMAHook with update_buffers=True, begin_iter or begin_epoch averages or copies "
                "queues, which do not have the same size at all times; leave these options out, "
                "or the hook: the teacher, which validation scores, is an average already"
            )
        if self.sup_only_epochs:
            self.sup_only_iters = self.sup_only_epochs * len(runner.train_dataloader)
        if self.sup_only_iters >= runner.max_iters:
            print_log(
                f"the supervised-only start has {self.sup_only_iters} iterations and the training "
                f"{runner.max_iters}, so no unlabeled image will be used; lower sup_only_iters or "
                "sup_only_epochs of MeanTeacherHook",
                "current",
                logging.WARNING,
            )
        runner.optim_wrapper.optimizer.register_step_post_hook(self._note_step)

    def _note_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """Called by the optimizer after a step; a GradScaler that skips one does not call it."""
        # But a fused optimizer is called even so, and told to do nothing.
        overflow = getattr(optimizer, "found_inf", None)
        self._has_stepped = overflow is None or not overflow.item()

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | Sequence | None = None
    ) -> None:
        """Tell the model how far the training is: where this step of the optimizer began."""
        # Not kept from iteration to iteration: a run may be resumed in between.
        accumulated = runner.iter % getattr(runner.optim_wrapper, "_accumulative_counts", 1)
        begin = runner.iter - accumulated
        model = unwrapped(runner.model)
        model.progress = begin / runner.max_iters
        model.sup_only = begin < self.sup_only_iters

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | Sequence | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Move the teacher if the optimizer has stepped."""
        if self._has_stepped:
            unwrapped(runner.model).after_optimizer_step()
        self._has_stepped = False
