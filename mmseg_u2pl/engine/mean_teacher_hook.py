"""Tells the model the progress of the training, and when the optimizer has stepped."""

import logging
from collections.abc import Sequence
from functools import wraps
from typing import Any

from mmengine.dist import is_distributed
from mmengine.hooks import EMAHook, Hook, SyncBuffersHook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from mmseg_u2pl.methods import SemiSegmentor
from mmseg_u2pl.utils.unwrap import unwrapped


def require_mean_teacher_hook(runner: Runner) -> None:
    """Refuse to train a semi-supervised model without :class:`MeanTeacherHook`, or with two.

    Without it, the losses fall as usual, but the progress stays 0, and the teacher, which is
    validated and exported, keeps its initial weights. With two, it is updated twice per step.

    Raises:
        ValueError: The model is semi-supervised, and there is not exactly one hook.
    """
    if not isinstance(unwrapped(runner.model), SemiSegmentor):
        return
    count = sum(isinstance(hook, MeanTeacherHook) for hook in runner.hooks)
    if count > 1:
        raise ValueError(
            f"the config has {count} hooks of type MeanTeacherHook; keep the one in default_hooks, "
            "and set its options there: --cfg-options default_hooks.mean_teacher.sup_only_iters=..."
        )
    if count == 0:
        raise ValueError(
            "no hook updates the teacher, which would keep its initial weights, and the progress; "
            "add `mean_teacher=dict(type='MeanTeacherHook')` to default_hooks"
        )


@HOOKS.register_module()
class MeanTeacherHook(Hook):
    """Sets ``progress`` and ``sup_only`` before each step, and updates a teacher after it.

    Every :class:`SemiSegmentor` needs the hook, with or without a teacher: it calls
    ``model.after_optimizer_step()`` whenever the optimizer has stepped. Iterations without a step
    occur with gradient accumulation, and in mixed precision when the scaler skips overflowing
    gradients. All iterations of one optimizer step have the same progress.

    Args:
        sup_only_iters: Iterations at the start that use only labeled images. With gradient
            accumulation, all iterations of an optimizer step are of the same kind.
        sup_only_epochs: The same in epochs (passes over the dataloader). Set only one of the two.
            The paper uses 1 on VOC and 20 on Cityscapes.

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
        """Convert epochs to iterations, and refuse an unsuitable model, optimizer or hook.

        Raises:
            TypeError: The model is not semi-supervised, or a strategy or optimizer does not report
                its steps.
            ValueError: Another hook, or distributed training, would change the queues.
        """
        _require_known_parts(runner)
        _require_own_buffers(runner.hooks)
        if self.sup_only_epochs:
            self.sup_only_iters = self.sup_only_epochs * len(runner.train_dataloader)
        if self.sup_only_iters >= runner.max_iters:
            print_log(
                f"the supervised-only start has {self.sup_only_iters} iterations, the training "
                f"{runner.max_iters}, so no unlabeled image will be used; lower sup_only_iters or "
                "sup_only_epochs of MeanTeacherHook",
                "current",
                logging.WARNING,
            )
        self._note_steps_of(runner.optim_wrapper.optimizer)

    def _note_steps_of(self, optimizer: Optimizer) -> None:
        # register_step_post_hook() does not suffice: torch.compile of PyTorch 2.1 makes all
        # optimizers of the process forget such hooks.
        step = optimizer.step

        @wraps(step)
        def noted_step(*args: Any, **kwargs: Any) -> Any:
            result = step(*args, **kwargs)
            # A GradScaler skips a step by not calling this, but a fused optimizer is always called.
            overflow = getattr(optimizer, "found_inf", None)
            self._has_stepped = overflow is None or not overflow.item()
            return result

        optimizer.step = noted_step  # type: ignore[method-assign]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Tell the model the progress at which this optimizer step began."""
        # Not kept between iterations, because a run may be resumed between them.
        accumulated = runner.iter % getattr(runner.optim_wrapper, "_accumulative_counts", 1)
        begin = runner.iter - accumulated
        model = unwrapped(runner.model)
        model.progress = begin / runner.max_iters
        model.sup_only = begin < self.sup_only_iters

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Tell the model whether the optimizer has stepped."""
        if self._has_stepped:
            unwrapped(runner.model).after_optimizer_step()
        self._has_stepped = False


def _require_known_parts(runner: Runner) -> None:
    """Refuse other models, sharded models, and optimizers that do not report their steps."""
    model, wrapper = unwrapped(runner.model), runner.optim_wrapper
    if not isinstance(model, SemiSegmentor):
        raise TypeError(
            "MeanTeacherHook needs a semi-supervised model, such as U2PL, but the model is "
            f"{type(model).__name__}; remove the hook from default_hooks, or wrap the model: "
            "model=dict(type='U2PL', segmentor=...)"
        )
    if not isinstance(runner.model, (SemiSegmentor, DistributedDataParallel)):
        raise TypeError(
            f"the model is wrapped in {type(runner.model).__name__}, which shards its weights, so "
            "the teacher cannot follow the student; use MMDistributedDataParallel"
        )
    if getattr(runner.model, "broadcast_buffers", False):
        raise ValueError(
            "with broadcast_buffers=True, every process gets the queues and the teacher's batch "
            "norm statistics of process 0 before each step. Set "
            "model_wrapper_cfg.broadcast_buffers=False; use SyncBN for common statistics"
        )
    if not isinstance(getattr(wrapper, "optimizer", None), Optimizer):
        raise TypeError(
            f"{type(wrapper).__name__} has no single PyTorch optimizer that reports its steps; "
            "use OptimWrapper or AmpOptimWrapper with one optimizer"
        )


def _require_own_buffers(hooks: Sequence[Hook]) -> None:
    """Refuse hooks that average or copy buffers, which include queues and the seed."""
    if is_distributed() and any(isinstance(hook, SyncBuffersHook) for hook in hooks):
        raise ValueError(
            "SyncBuffersHook averages all buffers over the processes, including queues, counters "
            "and the seed; remove it from custom_hooks, and use SyncBN for common batch norm "
            "statistics"
        )
    emas = [hook for hook in hooks if isinstance(hook, EMAHook)]
    copies = [hook for hook in emas if hook.begin_iter or hook.begin_epoch]
    if copies or any(hook.ema_cfg.get("update_buffers") for hook in emas):
        raise ValueError(
            "EMAHook with update_buffers=True, begin_iter or begin_epoch averages or copies "
            "queues, whose sizes change; remove these options, or the hook: the teacher, which "
            "validation scores, is already an average"
        )
