"""Validation of all networks of a method."""

from mmengine.runner import ValLoop
from mmseg.registry import LOOPS

from mmseg_u2pl.utils.unwrap import unwrapped


@LOOPS.register_module()
class SemiValLoop(ValLoop):
    """Validates each network of a :class:`SemiSegmentor` on the same data.

    The metrics of the first role, such as the teacher, keep MMSegmentation's names (``mIoU``), so
    ``save_best='mIoU'`` refers to that network. The others have their role as a prefix
    (``student/mIoU``).
    """

    def run(self) -> dict[str, float]:
        """Validate all networks and return the metrics of all."""
        self.runner.call_hook("before_val")
        self.runner.call_hook("before_val_epoch")
        self.runner.model.eval()
        first, *others = unwrapped(self.runner.model).networks
        # The first role comes last, because all roles write pictures of the same names.
        prefixed = {
            f"{role}/{key}": value for role in others for key, value in self._evaluate(role).items()
        }
        metrics = self._evaluate(first) | prefixed
        self.runner.call_hook("after_val_epoch", metrics=metrics)
        self.runner.call_hook("after_val")
        return metrics

    def _evaluate(self, role: str) -> dict[str, float]:
        model = unwrapped(self.runner.model)
        default, model.predict_with = model.predict_with, role
        try:
            for idx, data_batch in enumerate(self.dataloader):
                self.run_iter(idx, data_batch)
            return self.evaluator.evaluate(len(self.dataloader.dataset))
        finally:
            model.predict_with = default
