"""Tells the model how far the training is, and when the optimizer has stepped."""

import logging
from collections.abc import Sequence
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

    Without it the losses fall as usual, but a teacher keeps its first weights, which are validated
    and exported, and the progress stays 0. With two, the teacher moves twice a step.

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
            "no hook moves the teacher, which would keep its first weights, or tells the model its "
            "progress; add `mean_teacher=dict(type='MeanTeacherHook')` to default_hooks"
        )


@HOOKS.register_module()
class MeanTeacherHook(Hook):
    """Sets ``progress`` and ``sup_only`` before each step; moves a teacher after it.

    The hook serves every :class:`SemiSegmentor`, with or without a teacher: it calls
    ``model.after_optimizer_step()`` whenever the optimizer has stepped. With gradient accumulation
    that is not at each iteration, and in mixed precision not when overflowing gradients made the
    scaler skip the step. All iterations of one optimizer step have the same progress.

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
        """Turn epochs into iterations; refuse what does not go together with the model.

        Raises:
            TypeError: The model is not semi-supervised, or is trained by a strategy or with
                optimizers that do not tell when a step was taken.
            ValueError: Another hook, or distributed training, would change the queues.
        """
        _require_known_parts(runner)
        _require_own_buffers(runner.hooks)
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

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Tell the model how far the training is: where this step of the optimizer began."""
        # Not kept from iteration to iteration: a run may be resumed in between.
        accumulated = runner.iter % getattr(runner.optim_wrapper, "_accumulative_counts", 1)
        begin = runner.iter - accumulated
        model = unwrapped(runner.model)
        model.progress = begin / runner.max_iters
        model.sup_only = begin < self.sup_only_iters

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Tell the model if the optimizer has stepped."""
        if self._has_stepped:
            unwrapped(runner.model).after_optimizer_step()
        self._has_stepped = False


def _require_known_parts(runner: Runner) -> None:
    """Refuse other models, and models and optimizers whose weights and steps are not all here."""
    model, wrapper = unwrapped(runner.model), runner.optim_wrapper
    if not isinstance(model, SemiSegmentor):
        raise TypeError(
            "MeanTeacherHook works on a semi-supervised model such as U2PL, but the model is "
            f"{type(model).__name__}; remove the hook from default_hooks, or wrap the model: "
            "model=dict(type='U2PL', segmentor=...)"
        )
    if not isinstance(runner.model, (SemiSegmentor, DistributedDataParallel)):
        raise TypeError(
            f"the model is wrapped in {type(runner.model).__name__}, which splits its weights, so "
            "the teacher cannot follow the student; use MMDistributedDataParallel"
        )
    if getattr(runner.model, "broadcast_buffers", False):
        raise ValueError(
            "with broadcast_buffers=True every process gets the queues, and the teacher's batch "
            "norm statistics, of process 0 before each step. Set "
            "model_wrapper_cfg.broadcast_buffers=False; for common statistics use SyncBN"
        )
    if not isinstance(getattr(wrapper, "optimizer", None), Optimizer):
        raise TypeError(
            f"{type(wrapper).__name__} has no single optimizer of PyTorch that tells when it has "
            "stepped; use OptimWrapper or AmpOptimWrapper with one optimizer"
        )


def _require_own_buffers(hooks: Sequence[Hook]) -> None:
    """Refuse hooks that average or copy buffers, among them queues and the seed."""
    if is_distributed() and any(isinstance(hook, SyncBuffersHook) for hook in hooks):
        raise ValueError(
            "SyncBuffersHook averages all buffers over the processes, and with them queues, "
            "counters and the seed; remove it from custom_hooks, and use SyncBN for common "
            "statistics of batch norm"
        )
    emas = [hook for hook in hooks if isinstance(hook, EMAHook)]
    copies = [hook for hook in emas if hook.begin_iter or hook.begin_epoch]
    if copies or any(hook.ema_cfg.get("update_buffers") for hook in emas):
        raise ValueError(
            "EMAHook with update_buffers=True, begin_iter or begin_epoch averages or copies "
            "queues, which do not have the same size at all times; leave these options out, "
            "or the hook: the teacher, which validation scores, is an average already"
        )
