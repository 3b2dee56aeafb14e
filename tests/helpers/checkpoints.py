"""Small trainings for tests of checkpoints."""

import torch
from mmengine.evaluator import BaseMetric
from mmengine.runner import checkpoint
from mmseg.registry import METRICS
from torch.utils.data import DataLoader

from tiny import batch, tiny_u2pl


@METRICS.register_module()
class Growing(BaseMetric):
    """A score that improves each time."""

    score = 0.0

    def process(self, data_batch, data_samples):
        self.results.append(None)

    def compute_metrics(self, results):
        self.score += 1.0
        return dict(mIoU=self.score)


@METRICS.register_module()
class UpAndDown(BaseMetric):
    """Scores, the second of which is worse than the first."""

    def __init__(self, prefix=None):
        super().__init__(prefix=prefix)
        self.scores = iter([2.0, 1.0, 3.0, 0.0])

    def process(self, data_batch, data_samples):
        self.results.append(None)

    def compute_metrics(self, results):
        return dict(mIoU=next(self.scores))


def config(work_dir, *hooks, max_keep_ckpts=1, **options):
    """A training of four steps; each is saved and validated."""
    batches = [batch(1, 1, seed=i) for i in range(4)]
    loader = DataLoader(batches, batch_size=1, collate_fn=lambda items: items[0])
    return dict(
        model=options.pop("model", None) or tiny_u2pl(),
        train_dataloader=loader,
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=4, val_interval=1),
        val_dataloader=loader,
        val_evaluator=dict(type="Growing"),
        val_cfg=dict(type="ValLoop"),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9)),
        param_scheduler=[dict(type="PolyLR", begin=0, end=4, by_epoch=False)],
        default_hooks=dict(
            checkpoint=dict(
                type="SafeCheckpointHook",
                by_epoch=False,
                interval=1,
                max_keep_ckpts=max_keep_ckpts,
                **options,
            ),
            mean_teacher=dict(type="MeanTeacherHook"),
        ),
        custom_hooks=list(hooks),
        work_dir=str(work_dir),
        default_scope="mmseg",
        log_level="ERROR",
        experiment_name=str(work_dir),
    )


CAN_ALLOW_TYPES = hasattr(torch.serialization, "safe_globals")
"""Whether PyTorch can be told types to load with `weights_only=True`: since 2.5, for a while."""


def load(path):
    if not CAN_ALLOW_TYPES:
        return torch.load(path, weights_only=False)
    # OneDL's MMEngine allows its types at each call; for the originals, mmseg_u2pl does.
    allowed = getattr(checkpoint, "get_torch_safe_globals", list)()
    with torch.serialization.safe_globals(allowed):
        return torch.load(path, weights_only=True)


def names(folder):
    return sorted(path.name for path in folder.glob("*.pth*"))
