"""Atomic checkpoints, and runs that continue from them as if never interrupted."""

import os.path as osp
from collections import deque
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_u2pl.engine.mean_teacher_hook import require_mean_teacher_hook
from mmseg_u2pl.engine.resume.atomic_files import ATOMIC, AtomicFileBackend
from mmseg_u2pl.engine.resume.checkpoint_checks import (
    require_resumable,
    require_same_epochs,
    require_same_kind,
)
from mmseg_u2pl.engine.resume.checkpoint_files import checkpoint_to_load, require_checkpoint
from mmseg_u2pl.engine.resume.gradients import load_gradients, save_gradients
from mmseg_u2pl.engine.resume.position import (
    VALIDATED,
    continue_data,
    continue_epoch,
    validation_is_due,
)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, with the same options, for runs that may be interrupted.

    ``default_hooks = dict(checkpoint=dict(type="SafeCheckpointHook"))`` selects it and keeps the
    options of the schedule. It differs as follows:

    - Writes are atomic. Checkpoints beyond ``max_keep_ckpts``, and the previous best one, are
      removed after the new one is written, so the disk must have room for one more.
    - It refuses incomplete checkpoints, checkpoints that the run cannot resume from, and those of
      a semi-supervised run for a plain model.
    - A resumed run draws the images that would have come next, even in the middle of an epoch,
      without loading the images before them.
    - A checkpoint is written before the validation of its iteration. A run resumed from it begins
      with that validation, unless the interrupted run has finished it.

    With ``backend_args``, or an ``out_dir`` that is not on a local disk, it writes like MMEngine's
    hook.
    """

    backend_args: dict | None
    keep_ckpt_ids: deque[int]

    def before_run(self, runner: Runner) -> None:
        """Refuse a file that is not a checkpoint.

        Raises:
            ValueError: The file that the runner is about to load is not a complete checkpoint.
        """
        path = checkpoint_to_load(runner)
        if path is not None:
            require_checkpoint(path)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that does not fit; restore its gradients when resuming.

        Raises:
            ValueError: The checkpoint is from a semi-supervised run and the model is plain, or the
                run is resumed and the checkpoint is incomplete.
        """
        require_same_kind(runner, checkpoint)
        if runner._resume:
            require_resumable(runner, checkpoint)
            load_gradients(runner, checkpoint)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the gradients accumulated since the last optimizer step."""
        if "optimizer" in checkpoint:
            save_gradients(runner, checkpoint)

    def before_train(self, runner: Runner) -> None:
        """Choose where to write; continue data and validation where the checkpoint left off.

        Raises:
            ValueError: The checkpoint has epochs of another length, or no hook updates the teacher.
        """
        require_mean_teacher_hook(runner)
        is_local = isinstance(get_file_backend(self.out_dir or runner.work_dir), LocalBackend)
        if is_local and self.backend_args is None and self.file_client_args is None:
            self.backend_args = dict(backend=ATOMIC)
        super().before_train(runner)
        # Otherwise a resumed run would not repeat the save that precedes a new best score.
        self.last_ckpt = runner.message_hub.get_info("last_ckpt")
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = deque(self.keep_ckpt_ids)  # unbounded: it briefly holds one more
        require_same_epochs(runner)
        continue_data(runner)
        if validation_is_due(runner):
            runner.logger.info("Validating first, as the interrupted run may not have finished it.")
            runner.val_loop.run()

    def before_train_epoch(self, runner: Runner) -> None:
        """Skip the part of the epoch that was trained before the checkpoint."""
        continue_epoch(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Save the best checkpoint."""
        runner.message_hub.update_info(VALIDATED, runner.iter)
        super().after_val_epoch(runner, metrics)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        """Save a checkpoint, name it in ``last_checkpoint``, then remove surplus ones."""
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            self.keep_ckpt_ids.append(step)
            # Surplus ones are listed too, so that a resumed run removes those that are left.
            runner.message_hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
        self.last_ckpt = self._path_of(step)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            self.filename_tmpl.format(step),
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            AtomicFileBackend().put_text(
                self.last_ckpt, osp.join(runner.work_dir, "last_checkpoint")
            )
        while 0 < self.max_keep_ckpts < len(self.keep_ckpt_ids):
            self._remove(self._path_of(self.keep_ckpt_ids.popleft()))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Save a new best checkpoint, then remove the previous one."""
        if not self.save_best:
            return
        if len(self.key_indicators) == 1:
            paths, names = self.__dict__, ["best_ckpt_path"]
        else:
            paths, names = self.best_ckpt_path_dict, self.key_indicators
        previous = {name: paths.get(name) for name in names}
        # MMEngine removes it before it saves, unless it does not know the previous one.
        paths.update(dict.fromkeys(names))
        super()._save_best_checkpoint(runner, metrics)
        for name, path in previous.items():
            if paths[name] is None:
                paths[name] = path
            elif path not in (None, paths[name]):
                self._remove(path)

    def _path_of(self, step: int) -> str:
        return self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))

    def _remove(self, path: str) -> None:
        if is_main_process() and self.file_backend.isfile(path):
            self.file_backend.remove(path)
