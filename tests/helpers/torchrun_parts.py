"""Components that tests of whole distributed runs name in their configs."""

import json
from pathlib import Path

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmseg.registry import DATASETS, HOOKS

from mmseg_u2pl.datasets import SemiDataset
from processes import state_of


@HOOKS.register_module()
class WriteStateHook(Hook):
    """Writes the state of a rank after the training to ``rank<r>.json`` in the work folder."""

    def after_train(self, runner):
        state = state_of(runner.model.module)
        Path(runner.work_dir, f"rank{get_rank()}.json").write_text(json.dumps(state))


@DATASETS.register_module()
class FailsOnRank1(SemiDataset):
    """Fails on one of the processes, as if its disk were missing."""

    def __getitem__(self, index):
        if get_rank() == 1:
            raise OSError("the disk of rank 1 is gone")
        return super().__getitem__(index)
