"""Runs the checks of the data once, before the first training step."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch.nn import ModuleList
from torch.utils.data import DataLoader

from mmseg_u2pl.checks.data_check import check_data, check_sampler
from mmseg_u2pl.datasets.checks import DataError, describe
from mmseg_u2pl.datasets.faulty_images import SKIPPED, skipped_images
from mmseg_u2pl.datasets.semi_dataset import SemiDataset
from mmseg_u2pl.methods.base import SemiSegmentor
from mmseg_u2pl.methods.rules import Rules
from mmseg_u2pl.methods.u2pl import U2PL
from mmseg_u2pl.ops.mixing import MIXINGS_OF_TWO
from mmseg_u2pl.utils.unwrap import unwrapped


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Stops a run whose data, sampler or class counts do not fit, before it costs time.

    It runs :func:`~mmseg_u2pl.checks.data_check.check_data` on the training data set, with or
    without unlabeled images, and on the validation data set if there is one; with unlabeled images
    it looks at the sampler too. ``tools/misc/check_data.py`` does the same without a training. What
    was read of files is kept between runs, see :mod:`mmseg_u2pl.checks.read_cache`.

    Rank 0 reads the files; what it finds stops all ranks. Without the hook nothing is checked.

    While the training runs, it counts unlabeled images that :class:`SemiDataset` skips because they
    cannot be used, names each once in the log and all at the end, and stops the run if they are
    more than the data set's ``max_faulty_share`` (of each process on its own). The count is in the
    checkpoint.
    """

    def before_train(self, runner: Runner) -> None:
        """Run all checks.

        Args:
            runner: The runner, with its loops built.

        Raises:
            ValueError: Something does not fit (on rank 0 also any other error of the checks).
        """
        error: Exception | None = None
        if is_main_process():
            try:
                check_run(runner)
            except Exception as caught:  # any error: the other ranks wait for the broadcast below
                error = caught
        message = [None if error is None else str(error)]
        broadcast_object_list(message)
        if error is not None:
            raise error
        if message[0] is not None:
            raise DataError(message[0])

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | Sequence | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Count the images that the batch lacks.

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
            raise DataError(f"{_describe_skipped(counted, dataset)}\nThey are more than {limit}.")

    def after_train(self, runner: Runner) -> None:
        """Report what was skipped."""
        counted = runner.message_hub.get_info(SKIPPED, {})
        if counted:
            report = _describe_skipped(counted, runner.train_dataloader.dataset)
            print_log(report, "current", logging.WARNING)


def _describe_skipped(skipped: Mapping[str, str], dataset: SemiDataset) -> str:
    return describe(
        f"{len(skipped)} of {dataset.num_unlabeled} unlabeled images were skipped",
        [f"{path} ({reason})" for path, reason in sorted(skipped.items())],
        ["Replace them, or take them out of the list."],
    )


def _warn_of_single_images(dataloader: DataLoader, rules: Rules) -> None:
    batch_sampler: Any = dataloader.batch_sampler
    labeled, unlabeled = batch_sampler.sampler.ratio
    number = batch_sampler.batch_size * unlabeled // (labeled + unlabeled)
    if number == 1 and rules.mixing in MIXINGS_OF_TWO and rules.mixing_prob > 0:
        print_log(
            f"model.mixing={rules.mixing!r} mixes two unlabeled images of a process, and this run "
            "has one, so nothing is mixed. Set train_dataloader.batch_size to "
            f"{2 * batch_sampler.batch_size} or more, or model.mixing to 'cutout' or 'none'.",
            "current",
            logging.WARNING,
        )


def _last_head(model: Any) -> Any:
    head = getattr(model, "decode_head", None)
    return head[-1] if isinstance(head, ModuleList) else head


def check_run(runner: Runner) -> None:
    """Run all checks on a runner with built loops, in this process.

    Args:
        runner: The runner.

    Raises:
        ValueError: Something does not fit; the message tells all that was found.
    """
    model = unwrapped(runner.model)
    train = runner.train_dataloader.dataset
    if isinstance(model, SemiSegmentor) or isinstance(train, SemiDataset):
        check_sampler(runner.train_dataloader, type(runner.train_loop))
    if isinstance(model, U2PL):
        _warn_of_single_images(runner.train_dataloader, model.rules)
    val = None if runner.val_loop is None else runner.val_dataloader.dataset
    ignore_index = getattr(_last_head(model), "ignore_index", None)
    report = check_data(train, val, getattr(model, "num_classes", None), ignore_index)
    for warning in report.warnings:
        print_log(warning, "current", logging.WARNING)
    if report.problems:
        raise DataError("\n\n".join(report.problems))
