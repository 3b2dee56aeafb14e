"""Pictures of training steps."""

from functools import partial
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_u2pl.methods import StepView
from mmseg_u2pl.utils.unwrap import unwrapped
from mmseg_u2pl.visualization import plot_step, render


@HOOKS.register_module()
class SemiVisualizationHook(Hook):
    """Shows the inputs and predictions of student and teacher in some training steps.

    The pictures ``train_labeled`` and ``train_unlabeled`` go to MMEngine's visualizer: to
    ``vis_data/vis_image`` and to its other backends (TensorBoard, WandB, MLflow). They need no
    extra forward pass and do not change the training. The supervised-only start has no pictures.

    Args:
        interval: Iterations between pictures.
        num_images: Maximum number of images of each stream in a picture.

    Raises:
        ValueError: If one of them is less than 1.
    """

    priority = "LOW"

    def __init__(self, interval: int = 500, num_images: int = 2) -> None:
        for name, value in dict(interval=interval, num_images=num_images).items():
            if value < 1:
                raise ValueError(f"SemiVisualizationHook: {name} must be at least 1, got {value}")
        self.interval = interval
        self.num_images = num_images

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Observe the step at each interval."""
        if is_main_process() and self.every_n_train_iters(runner, self.interval):
            unwrapped(runner.model).observer = partial(self._draw, runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Stop observing."""
        unwrapped(runner.model).observer = None

    def _draw(self, runner: Runner, view: StepView) -> None:
        model = unwrapped(runner.model)
        meta = runner.train_dataloader.dataset.metainfo
        figures = plot_step(
            view,
            model.data_preprocessor,
            meta["classes"],
            meta["palette"],
            self.num_images,
            model.align_corners,
        )
        for stream, figure in figures.items():
            runner.visualizer.add_image(f"train_{stream}", render(figure), step=runner.iter + 1)
