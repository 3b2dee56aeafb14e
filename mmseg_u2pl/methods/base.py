"""Base class of semi-supervised methods: the parts of a training step that methods share."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any, ClassVar, NamedTuple

import torch
from mmengine.model import PretrainedInit
from mmseg.models import BaseSegmentor
from mmseg.utils import OptSampleList, SampleList, add_prefix
from torch import Tensor, nn

from mmseg_u2pl.models.batches import LabeledBatch, UnlabeledBatch, split_batch
from mmseg_u2pl.models.running_statistics import RunningStatistics
from mmseg_u2pl.models.step_random import StepGenerators, StepRandom
from mmseg_u2pl.models.tapped_segmentor import TappedSegmentor
from mmseg_u2pl.ops import ConfidentPrediction, Partition, PixelPrediction
from mmseg_u2pl.utils.distributed import show_global_losses


class StepView(NamedTuple):
    """Inputs and predictions of a training step, for pictures; nothing has a gradient.

    Attributes:
        labeled: The labeled images.
        unlabeled: The unlabeled images as the labeler sees them.
        strong: The unlabeled images as the learner sees them.
        pseudo: Label and entropy of the strong view's pixels, and their confidence if the method
            uses it, (N_u, H, W) each.
        split: Which of these pixels are reliable.
        logits: (N_l + N_u, C, h, w), the learner's, labeled images first.
        labeler: Role of the network that labels the unlabeled images.
        learner: Role of the network that learns from these labels.
    """

    labeled: LabeledBatch
    unlabeled: UnlabeledBatch
    strong: UnlabeledBatch
    pseudo: PixelPrediction | ConfidentPrediction
    split: Partition
    logits: Tensor
    labeler: str = "teacher"
    learner: str = "student"


class StepResult(NamedTuple):
    """Losses and statistics that a method computes for a batch.

    Attributes:
        supervised: Losses of the labeled images under the segmentor's own names.
        unlabeled: Weighted losses of the unlabeled images, () each, by name. Their mean over the
            processes is the loss of the batch.
        statistics: Scalars for the log, () each, by name. No name may contain ``loss``, because
            MMEngine would add it to the total.
        view: For pictures; None if there is nothing to show.
    """

    supervised: dict[str, Tensor]
    unlabeled: dict[str, Tensor]
    statistics: dict[str, Tensor]
    view: StepView | None = None


class SemiSegmentor(BaseSegmentor):
    """Base class of a semi-supervised method and the plain segmentors that it trains.

    A method defines :attr:`networks`, builds them in its constructor with :meth:`build_network`,
    and implements :meth:`semi_step`. The base class splits the batch, seeds the step, runs the
    supervised-only start, names and scales the losses, predicts, and reads and writes plain
    checkpoints.

    Args:
        segmentor: Config of a plain segmentor. Its ``data_preprocessor`` becomes this model's.
        data_preprocessor: Used if the segmentor's config has none; MMEngine passes the one at the
            top level of the config file.
        train_cfg: Must be None; :func:`mmseg.apis.init_model` passes it.
        pretrained: Must be None, for the same reason.
        init_cfg: See :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``train_cfg`` or ``pretrained`` is given.
        TypeError: If ``segmentor`` is not a dictionary.

    Attributes:
        networks: Dotted name of each plain segmentor, by role. The network of the first role
            predicts, is validated under MMSegmentation's own names, and is exported.
        progress: Progress of the training in [0, 1], set by :class:`MeanTeacherHook` or by hand.
        sup_only: If True, steps use only labeled images; set by :class:`MeanTeacherHook`.
        predict_with: Role of the network that predicts.
        observer: Called with the :class:`StepView` of each step that uses unlabeled images, unless
            it is None.
    """

    networks: ClassVar[Mapping[str, str]]

    def __init__(
        self,
        segmentor: dict,
        data_preprocessor: dict | None = None,
        train_cfg: None = None,
        pretrained: None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if not isinstance(segmentor, Mapping):
            raise TypeError(f"segmentor must be a model config, got {segmentor!r}")
        if train_cfg is not None or pretrained is not None:
            raise ValueError(
                f"{type(self).__name__} takes neither train_cfg nor pretrained; "
                "set them in the config of its segmentor"
            )
        self._segmentor = deepcopy(dict(segmentor))
        own_preprocessor = self._segmentor.pop("data_preprocessor", None)
        super().__init__(own_preprocessor or data_preprocessor, init_cfg)
        self.progress = 0.0
        self.sup_only = False
        self.predict_with = next(iter(self.networks))
        self.observer: Callable[[StepView], None] | None = None
        self.random = StepRandom()

    def build_network(
        self, projector: dict | None = None, embedding_source: str | None = None
    ) -> TappedSegmentor:
        """Build a new network around the plain segmentor; see :class:`TappedSegmentor`."""
        return TappedSegmentor(deepcopy(self._segmentor), projector, embedding_source)

    @abstractmethod
    def semi_step(
        self, labeled: LabeledBatch, unlabeled: UnlabeledBatch, generators: StepGenerators
    ) -> StepResult:
        """The method's training step on labeled and unlabeled images.

        Args:
            labeled: The labeled images.
            unlabeled: The unlabeled images.
            generators: Source of all random numbers of the step.

        Returns:
            The losses, statistics for the log, and a view for pictures.
        """

    def after_optimizer_step(self) -> None:
        """Called after each optimizer step; updates a teacher, if the method has one."""

    def class_statistics(self) -> dict[str, Tensor]:
        """State to log in addition to the losses, by name: (), or (C,) for a value per class."""
        return {}

    @property
    def trained_networks(self) -> dict[str, TappedSegmentor]:
        """Networks with trainable parameters, by role."""
        owners = {role: path.removesuffix(".segmentor") for role, path in self.networks.items()}
        networks = {role: self.get_submodule(owner) for role, owner in owners.items()}
        return {
            role: network
            for role, network in networks.items()
            if any(parameter.requires_grad for parameter in network.parameters())
        }

    @property
    def plain_segmentor(self) -> BaseSegmentor:
        """The plain segmentor of the role in ``predict_with``."""
        if self.predict_with not in self.networks:
            raise ValueError(
                f"predict_with must be one of {', '.join(map(repr, self.networks))}, "
                f"got {self.predict_with!r}"
            )
        return self.get_submodule(self.networks[self.predict_with])

    @property
    def decode_head(self) -> nn.Module:
        """Decode head of the plain segmentor, for MMSegmentation's tools."""
        return self.plain_segmentor.decode_head

    @property
    def num_classes(self) -> int:
        """Number of classes of the segmentor."""
        return self.plain_segmentor.num_classes

    @property
    def out_channels(self) -> int:
        """Number of channels of the logits."""
        return self.plain_segmentor.out_channels

    @property
    def align_corners(self) -> bool:
        """How logits are resized."""
        return self.plain_segmentor.align_corners

    @property
    def ignore_index(self) -> int:
        """Ground truth value of pixels without a label."""
        return next(iter(self.trained_networks.values())).ignore_index

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict[str, Tensor]:
        """Losses of one training step.

        Args:
            inputs: (N, 3, H, W), labeled and unlabeled images in any order, normalized.
            data_samples: Their samples; labeled ones have ``gt_sem_seg``.

        Returns:
            The segmentor's own losses with the prefix ``sup.``, the losses of the unlabeled images,
            and statistics of the step.
        """
        labeled, unlabeled = split_batch(inputs, data_samples, self.ignore_index)
        generators = self.random.next(inputs.device)
        running = RunningStatistics(self)
        if self.sup_only:
            losses = self.supervised_step(labeled)
        else:
            step = self.semi_step(labeled, unlabeled, generators)
            if self.observer is not None and step.view is not None:
                self.observer(step.view)
            supervised = add_prefix(step.supervised, "sup")
            losses = supervised | show_global_losses(step.unlabeled) | step.statistics
        running.restore_non_finite()
        return losses

    def supervised_step(self, labeled: LabeledBatch) -> dict[str, Tensor]:
        """Losses of a step of the supervised-only start.

        Args:
            labeled: The labeled images.

        Returns:
            The segmentor's own losses with the prefix ``sup.``, and with the role in the name if
            several networks are trained. With a projector, also ``contra.loss_nce``, which is 0.
        """
        networks = self.trained_networks
        losses: dict[str, Tensor] = {}
        for role, network in networks.items():
            output = network(labeled.images)
            supervised = network.supervised_loss(labeled.images, output, labeled.data_samples)
            losses |= add_prefix(supervised, "sup" if len(networks) == 1 else f"sup.{role}")
            if output.embedding is not None:
                # Distributed training also waits for a gradient of the projector.
                nowhere = torch.empty(3, 0, dtype=torch.int64, device=labeled.images.device)
                losses["contra.loss_nce"] = output.embedding.at(*nowhere).sum()
        return losses

    def predict(self, inputs: Tensor, data_samples: OptSampleList = None) -> SampleList:
        """Predict with the plain segmentor of the role ``predict_with``."""
        return self.plain_segmentor.predict(inputs, data_samples)

    def encode_decode(self, inputs: Tensor, batch_data_samples: SampleList) -> Tensor:
        """Logits of the plain segmentor at the size of the input."""
        return self.plain_segmentor.encode_decode(inputs, batch_data_samples)

    def extract_feat(self, inputs: Tensor) -> Any:
        """Features of the plain segmentor."""
        return self.plain_segmentor.extract_feat(inputs)

    def _forward(self, inputs: Tensor, data_samples: OptSampleList = None) -> Any:
        """Raw output of the plain segmentor."""
        return self.plain_segmentor._forward(inputs, data_samples)

    @property
    def starts_from_checkpoint(self) -> bool:
        """Whether ``init_cfg`` names a checkpoint of the whole model."""
        configs = [self.init_cfg] if isinstance(self.init_cfg, dict) else self.init_cfg or []
        return any(config["type"] in ("Pretrained", PretrainedInit) for config in configs)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Also accept a plain checkpoint, from which every network starts."""
        inside = tuple(f"{prefix}{path}." for path in self.networks.values())
        names = [key for key in state_dict if key.startswith(prefix)]
        if names and not any(name.startswith(inside) for name in names):
            for name in names:
                value = state_dict.pop(name)
                for network in inside:
                    state_dict[network + name.removeprefix(prefix)] = value
            # Weights that a plain checkpoint cannot have are kept, and not reported as missing.
            own = self.state_dict(prefix=prefix)
            state_dict |= {name: own[name] for name in own if not name.startswith(inside)}
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def is_semi_checkpoint(state_dict: Iterable[str]) -> bool:
    """Whether weights are those of a :class:`SemiSegmentor` of any method.

    Args:
        state_dict: Names of the weights, or the weights by name.
    """
    return any(name.startswith("random.seed") for name in state_dict)
