"""What every student-teacher method on top of a plain segmentor needs, without a method."""

from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dist import get_rank
from mmengine.model import PretrainedInit
from mmseg.models import BaseSegmentor
from mmseg.structures import SegDataSample
from mmseg.utils import OptSampleList, SampleList
from torch import Tensor

from mmseg_u2pl.models.ema_teacher import EMATeacher
from mmseg_u2pl.models.step_counter import StepCounter
from mmseg_u2pl.models.tapped_segmentor import TappedSegmentor
from mmseg_u2pl.ops import MixPlan, mix
from mmseg_u2pl.utils.options import reject_unknown, require_options

ROLES = ("teacher", "student")

PREFIXES = {"teacher": "teacher.module.segmentor.", "student": "student.segmentor."}
"""Where the plain segmentors are in a checkpoint."""

IMAGE_PIXELS = "image_pixels"
"""Field of an unlabeled data sample: which pixels are of the image, bool; without it, all."""

HIDDEN_TRUTH = "hidden_sem_seg"
"""Field of an unlabeled data sample whose ground truth is known but must not be trained with."""


class LabeledBatch(NamedTuple):
    """Labeled part of a batch.

    Attributes:
        images: (N_l, 3, H, W).
        data_samples: Their samples, each with ``gt_sem_seg``.
        label: (N_l, H, W), int64, ground truth.
    """

    images: Tensor
    data_samples: SampleList
    label: Tensor


class UnlabeledBatch(NamedTuple):
    """Unlabeled part of a batch.

    Attributes:
        images: (N_u, 3, H, W).
        valid: (N_u, H, W), bool, False where a transform or the preprocessor put what is not of
            the image.
        truth: (N_u, H, W), int64, what :class:`HideGroundTruth` keeps to score pseudo-labels with;
            None if it is not known of all images.
    """

    images: Tensor
    valid: Tensor
    truth: Tensor | None

    def mixed(self, plan: MixPlan) -> "UnlabeledBatch":
        """The batch after mixing; what is erased is not valid."""
        truth = None if self.truth is None else mix(self.truth, plan)
        return UnlabeledBatch(mix(self.images, plan), mix(self.valid, plan), truth)


class SemiSegmentor(BaseSegmentor):
    """Student and teacher around any MMSegmentation segmentor.

    Args:
        segmentor: Config of a plain segmentor. Its ``data_preprocessor`` becomes this model's.
        embedding_source: See :class:`TappedSegmentor`.
        projector: See :class:`TappedSegmentor`.
        teacher: Options of :class:`EMATeacher`.
        data_preprocessor: Used if the segmentor's config has none; MMEngine passes the one at the
            top level of the config file.
        train_cfg: Must be None; belongs into the segmentor's config. Here because
            :func:`mmseg.apis.init_model` sets it.
        pretrained: Likewise.
        init_cfg: See :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``train_cfg`` or ``pretrained`` is given.
        TypeError: On an unknown option.

    Attributes:
        progress: Progress of the training in [0, 1], set by :class:`MeanTeacherHook` or by hand.
        sup_only: If True, steps use the labeled images alone; set by :class:`MeanTeacherHook`.
        predict_with: Which of the two predicts, ``'teacher'`` or ``'student'``.
    """

    def __init__(
        self,
        segmentor: dict,
        embedding_source: str | None = None,
        projector: dict | None = None,
        teacher: dict | None = None,
        data_preprocessor: dict | None = None,
        train_cfg: None = None,
        pretrained: None = None,
        init_cfg: dict | None = None,
        **unknown: Any,
    ) -> None:
        reject_unknown(type(self), unknown)
        for name, value in dict(segmentor=segmentor, projector=projector, teacher=teacher).items():
            require_options(name, value)
        if not (embedding_source is None or isinstance(embedding_source, str)):
            raise TypeError(f"embedding_source must be a dotted name, got {embedding_source!r}")
        if train_cfg is not None or pretrained is not None:
            raise ValueError(
                f"{type(self).__name__} takes no train_cfg and no pretrained; "
                "set them in the config of its segmentor"
            )
        segmentor = deepcopy(segmentor)
        super().__init__(segmentor.pop("data_preprocessor", None) or data_preprocessor, init_cfg)
        self.student = TappedSegmentor(segmentor, embedding_source, projector)
        self.teacher = EMATeacher(self.student, **(teacher or {}))
        self.progress = 0.0
        self.sup_only = False
        self.predict_with = "teacher"
        # Random numbers of a step depend on (seed, step, rank) alone, so that a checkpoint has all
        # that is needed to go on with the same ones.
        self.seed = StepCounter(torch.initial_seed() % 2**63)
        self._shares_seed = False
        self.step = StepCounter()

    @property
    def plain_segmentor(self) -> BaseSegmentor:
        """The plain segmentor of the role in ``predict_with``."""
        if self.predict_with not in ROLES:
            raise ValueError(f"predict_with must be one of {ROLES}, got {self.predict_with!r}")
        return (self.teacher.module if self.predict_with == "teacher" else self.student).segmentor

    @property
    def decode_head(self) -> torch.nn.Module:
        """Decode head of the plain segmentor, where MMSegmentation's tools look for it."""
        return self.plain_segmentor.decode_head

    @property
    def num_classes(self) -> int:
        """Number of classes of the segmentor."""
        return self.student.segmentor.num_classes

    @property
    def out_channels(self) -> int:
        """Number of channels of the logits."""
        return self.student.segmentor.out_channels

    @property
    def align_corners(self) -> bool:
        """How logits are resized."""
        return self.student.segmentor.align_corners

    def init_weights(self) -> None:
        """Initialise the student as its config says and copy it to the teacher.

        With a checkpoint of the whole model in ``init_cfg``, both are what that holds.
        """
        super().init_weights()
        if not _is_pretrained(self.init_cfg):
            self.teacher.copy_from(self.student)

    def check_batch(self, num_labeled: int, num_unlabeled: int) -> str | None:
        """Say what a method cannot do with the batches of a run; asked before the training.

        Args:
            num_labeled: Labeled images in a batch of one process.
            num_unlabeled: Unlabeled images in a batch of one process.

        Returns:
            A warning, or None.
        """
        return None

    def update_teacher(self) -> None:
        """Move the teacher; call after each step of the optimizer."""
        self.teacher.update(self.student, has_run=not self.sup_only)

    def split_batch(
        self, inputs: Tensor, data_samples: SampleList
    ) -> tuple[LabeledBatch, UnlabeledBatch]:
        """Sort a batch into its labeled and unlabeled images.

        Args:
            inputs: (N, 3, H, W).
            data_samples: A labeled sample has ``gt_sem_seg``, an unlabeled one has not.

        Returns:
            The two parts.

        Raises:
            ValueError: If one of the parts is empty.
        """
        labeled = [i for i, sample in enumerate(data_samples) if "gt_sem_seg" in sample]
        unlabeled = [i for i in range(len(data_samples)) if i not in set(labeled)]
        if not labeled or not unlabeled:
            raise ValueError(
                f"a batch must hold labeled and unlabeled images, got {len(labeled)} labeled and "
                f"{len(unlabeled)} unlabeled; use SemiDataset with DualStreamSampler and a "
                "batch_size that is a multiple of the sum of its ratio"
            )
        samples = [data_samples[i] for i in labeled]
        others = [data_samples[i] for i in unlabeled]
        label = torch.stack([sample.gt_sem_seg.data[0] for sample in samples]).long()
        return (
            LabeledBatch(torch.stack([inputs[i] for i in labeled]), samples, label),
            UnlabeledBatch(
                torch.stack([inputs[i] for i in unlabeled]),
                _valid_mask(others, inputs),
                _hidden_truth(others, self.student.ignore_index),
            ),
        )

    @torch.compiler.disable  # it would take NumPy's 64-bit integers for tensors
    def next_generators(self, device: torch.device) -> tuple[torch.Generator, torch.Generator]:
        """Begin a step: seed PyTorch's own generators, which dropout uses, and make two more.

        Args:
            device: Where the tensors are.

        Returns:
            One on the CPU, different on each rank, for what is done to its images; and one on the
            device, the same on all ranks, for what they choose together.
        """
        if not self._shares_seed:
            self.seed.take_from_first_rank()
            self._shares_seed = True
        own, common = (
            np.random.SeedSequence([self.seed.value, self.step.value, rank]).generate_state(
                3, np.uint64
            )
            >> np.uint64(1)
            for rank in (get_rank(), 0)
        )
        self.step.advance()
        torch.manual_seed(int(own[2]))
        return (
            torch.Generator().manual_seed(int(own[0])),
            torch.Generator(device).manual_seed(int(common[1])),
        )

    def predict(self, inputs: Tensor, data_samples: OptSampleList = None) -> SampleList:
        """Predict as the plain segmentor does, with the role in ``predict_with``."""
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

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Take a plain checkpoint too: it starts student and teacher."""
        names = [key for key in state_dict if key.startswith(prefix)]
        if names and not any(name.startswith(f"{prefix}student.") for name in names):
            for name in names:
                value = state_dict.pop(name)
                for inside in PREFIXES.values():
                    state_dict[name.replace(prefix, prefix + inside, 1)] = value
            # What a plain checkpoint cannot have stays as it is, and is not reported as missing.
            for name, value in self.state_dict(prefix=prefix).items():
                if ".segmentor." not in name:
                    state_dict[name] = value
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _is_pretrained(init_cfg: dict | list[dict] | None) -> bool:
    configs = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []
    return any(config["type"] in ("Pretrained", PretrainedInit) for config in configs)


def _valid_mask(data_samples: SampleList, images: Tensor) -> Tensor:
    """(N, H, W), bool: False where the preprocessor, or a transform before it, filled up."""
    height, width = images.shape[-2:]
    valid = torch.zeros(len(data_samples), height, width, dtype=torch.bool, device=images.device)
    for mask, sample in zip(valid, data_samples, strict=True):
        left, right, top, bottom = _padding(sample)
        inside = mask[top : height - bottom, left : width - right]
        inside[:] = sample.get(IMAGE_PIXELS).data[0] if IMAGE_PIXELS in sample else True
    return valid


def _hidden_truth(data_samples: SampleList, ignore_index: int) -> Tensor | None:
    """(N, H, W), int64, hidden ground truth, padded as the images are; None if some lack it."""
    if not all(HIDDEN_TRUTH in sample for sample in data_samples):
        return None
    # The preprocessor pads the fields it knows, and this one it does not.
    padded = [
        F.pad(sample.get(HIDDEN_TRUTH).data[0].long(), _padding(sample), value=ignore_index)
        for sample in data_samples
    ]
    return torch.stack(padded)


def _padding(data_sample: SegDataSample) -> tuple[int, int, int, int]:
    """What the preprocessor added left, right, at the top and at the bottom, in pixels."""
    return data_sample.metainfo.get("padding_size", (0, 0, 0, 0))
