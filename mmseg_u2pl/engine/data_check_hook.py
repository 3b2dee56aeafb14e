"""Runs the data checks once, before the first training step."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from mmengine.dist import broadcast_object_list, is_distributed, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_u2pl.checks import check_run
from mmseg_u2pl.datasets.errors import DataError, describe
from mmseg_u2pl.datasets.faulty_images import SKIPPED, skipped_images
from mmseg_u2pl.datasets.semi_dataset import SemiDataset

PATIENCE = timedelta(days=1)
"""Time for which the other processes wait for the one that reads the files."""


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Stops a run with unsuitable data, sampler or class counts before the training starts.

    It runs :func:`~mmseg_u2pl.checks.check_run` on the runner, with or without unlabeled images.
    ``tools/misc/check_data.py`` does the same without a training. Nothing is checked without the
    hook. One process reads the files; problems stop all processes.

    During the training, it counts the unusable unlabeled images that :class:`SemiDataset` skips,
    logs each once and all of them at the end, and stops the run if they exceed the data set's
    ``max_faulty_share`` (in each process on its own). The checkpoint stores the count.
    """

    _group: Any = None

    def before_train(self, runner: Runner) -> None:
        """Run all checks.

        Raises:
            DataError: The checks found a problem. The main process also raises their other errors.
        """
        if is_distributed() and self._group is None:
            # A separate group, because the wait may exceed the timeout of the default one. It is
            # kept, because PyTorch 2.1 may hang when a group is destroyed just after its use.
            self._group = dist.new_group(backend="gloo", timeout=PATIENCE)
        error: Exception | None = None
        if is_main_process():
            try:
                report = check_run(runner)
                for warning in report.warnings:
                    print_log(warning, "current", logging.WARNING)
                report.raise_problems()
            except Exception as caught:  # of any type: the other processes wait for the broadcast
                error = caught
        message = [None if error is None else str(error)]
        broadcast_object_list(message, group=self._group)
        if error is not None:
            raise error
        if message[0] is not None:
            raise DataError(message[0])

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Count the images that were replaced in the batch.

        Raises:
            DataError: Too many have been skipped.
        """
        dataset = runner.train_dataloader.dataset
        if not (isinstance(dataset, SemiDataset) and isinstance(data_batch, dict)):
            return
        counted = runner.message_hub.get_info(SKIPPED, {})
        skipped = skipped_images(data_batch)
        if skipped.keys() <= counted.keys():
            return
        for path in skipped.keys() - counted.keys():
            print_log(f"skipped '{path}': {skipped[path]}", "current", logging.WARNING)
        counted |= skipped
        runner.message_hub.update_info(SKIPPED, counted)
        if len(counted) > dataset.max_faulty:
            limit = f"max_faulty_share={dataset.max_faulty_share} of the data set"
            raise DataError(f"{_describe_skipped(counted, dataset)}\nThis exceeds {limit}.")

    def after_train(self, runner: Runner) -> None:
        """Report the skipped images."""
        counted = runner.message_hub.get_info(SKIPPED, {})
        if counted:
            report = _describe_skipped(counted, runner.train_dataloader.dataset)
            print_log(report, "current", logging.WARNING)


def _describe_skipped(skipped: Mapping[str, str], dataset: SemiDataset) -> str:
    return describe(
        f"{len(skipped)} of {dataset.num_unlabeled} unlabeled images were skipped",
        [f"{path} ({reason})" for path, reason in sorted(skipped.items())],
        ["Replace them, or remove them from the list."],
    )
