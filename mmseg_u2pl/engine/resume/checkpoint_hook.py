"""Checkpoints that are whole or absent, and runs that go on from them as if never interrupted."""

import os.path as osp
from collections import deque
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_u2pl.engine.mean_teacher_hook import require_mean_teacher_hook
from mmseg_u2pl.engine.resume.atomic_files import ATOMIC_FILES, AtomicFileBackend
from mmseg_u2pl.engine.resume.resuming import (
    VALIDATED,
    checkpoint_to_load,
    continue_data,
    continue_epoch,
    load_gradients,
    require_checkpoint,
    require_resumable,
    require_same_epochs,
    require_same_kind,
    save_gradients,
    validation_is_due,
)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's hook, with the same options, that survives the death of the process at any time.

    In MMSegmentation's registry it takes the place of MMEngine's, so that configs stay as they are.
    What differs:

    - A file takes its name when it is whole. Checkpoints that are too many, and the previous best
      one, are removed after the new one is there, so there is room needed for one more.
    - A file that is no checkpoint, or one that a run cannot go on from, is refused by its name;
      so is one of U2PL for a plain model, which would be trained or tested with random weights.
    - A resumed run draws the images that would have come next, without loading any before them,
      in the middle of an epoch too.
    - A checkpoint is written before the validation of its iteration. A run that goes on from it
      begins with that validation, since the interrupted one may not have made it.

    ``backend_args``, and an ``out_dir`` that is not on a local disk, write as MMEngine does.
    """

    backend_args: dict | None
    keep_ckpt_ids: deque[int]

    def before_run(self, runner: Runner) -> None:
        """Refuse a file that is no checkpoint.

        Raises:
            ValueError: The file that the runner is about to load is none.
        """
        path = checkpoint_to_load(runner)
        if path is not None:
            require_checkpoint(path)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another kind of model, or that the run cannot go on from.

        One that it can go on from may have gradients, which are taken up.

        Raises:
            ValueError: The checkpoint is of U2PL and the model plain, or the run is to be resumed,
                and the checkpoint lacks something.
        """
        require_same_kind(runner, checkpoint)
        if runner._resume:
            require_resumable(runner, checkpoint)
            load_gradients(runner, checkpoint)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add gradients that wait for the next step of the optimizer."""
        if "optimizer" in checkpoint:
            save_gradients(runner, checkpoint)

    def before_train(self, runner: Runner) -> None:
        """Find out where to write; put data and validation where the checkpoint left them.

        Raises:
            ValueError: The checkpoint is of epochs of another length, or nothing would move the
                teacher.
        """
        require_mean_teacher_hook(runner)
        is_local = isinstance(get_file_backend(self.out_dir or runner.work_dir), LocalBackend)
        if is_local and self.backend_args is None and self.file_client_args is None:
            self.backend_args = dict(backend=ATOMIC_FILES)
        super().before_train(runner)
        # Without it a resumed run would not save again what it saved before a new best score.
        self.last_ckpt = runner.message_hub.get_info("last_ckpt")
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = deque(self.keep_ckpt_ids)  # without a bound: one more for a time
        require_same_epochs(runner)
        continue_data(runner)
        if validation_is_due(runner):
            runner.logger.info("Validating, which the interrupted run may not have done.")
            runner.val_loop.run()

    def before_train_epoch(self, runner: Runner) -> None:
        """Leave out what the checkpoint has seen of the epoch."""
        continue_epoch(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Save the best checkpoint."""
        runner.message_hub.update_info(VALIDATED, runner.iter)
        super().after_val_epoch(runner, metrics)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        """Save a checkpoint, name it in ``last_checkpoint``, then remove those too many."""
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            self.keep_ckpt_ids.append(step)
            # What is about to be removed is in the list as well: a resumed run makes up for it.
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
            named = osp.join(runner.work_dir, "last_checkpoint")
            AtomicFileBackend().put_text(self.last_ckpt, named)
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
        # MMEngine removes first and saves then. What it does not know it does not remove.
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
        if is_main_process():
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):  # DeepSpeed's are folders
                self.file_backend.rmtree(path)
