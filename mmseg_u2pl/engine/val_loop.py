"""Validation of teacher and student."""

from mmengine.runner import ValLoop
from mmseg.registry import LOOPS

from mmseg_u2pl.utils.unwrap import unwrapped


@LOOPS.register_module()
class TeacherStudentValLoop(ValLoop):
    """Validates student and teacher on the same data.

    The teacher's metrics have MMSegmentation's own names (``mIoU``), so ``save_best='mIoU'`` means
    the teacher; those of the student are prefixed (``student/mIoU``).
    """

    def run(self) -> dict[str, float]:
        """Launch both validations.

        Returns:
            Metrics of both.
        """
        self.runner.call_hook("before_val")
        self.runner.call_hook("before_val_epoch")
        self.runner.model.eval()
        # The teacher last: of pictures of both, which have the same names, its own stay.
        student = self._evaluate("student")
        metrics = self._evaluate("teacher")
        metrics |= {f"student/{key}": value for key, value in student.items()}
        self.runner.call_hook("after_val_epoch", metrics=metrics)
        self.runner.call_hook("after_val")
        return metrics

    def _evaluate(self, role: str) -> dict[str, float]:
        model = self.runner.model
        model = unwrapped(model)
        model.predict_with = role
        try:
            for idx, data_batch in enumerate(self.dataloader):
                self.run_iter(idx, data_batch)
            return self.evaluator.evaluate(len(self.dataloader.dataset))
        finally:
            model.predict_with = "teacher"
