"""A segmentor without batch norm and batches for it, small enough to work numbers out."""

from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

import mmseg_u2pl  # noqa: F401

init_default_scope("mmseg")

SIZE = 32
NUM_CLASSES = 5


@MODELS.register_module()
class TinyBackbone(BaseModule):
    """Two convolutions, strides 2 and 4, no norm: images of a batch do not influence each other."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 3, stride=2, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        first = self.first(images).tanh()
        return first, self.second(first).tanh()


def tiny_segmentor(num_classes: int = NUM_CLASSES, **head_options: Any) -> dict:
    head = dict(
        type="FCNHead",
        in_channels=8,
        channels=6,
        num_convs=1,
        kernel_size=3,
        concat_input=False,
        num_classes=num_classes,
        dropout_ratio=0.0,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss"),
        init_cfg=dict(type="Normal", std=0.5, override=dict(name="conv_seg")),
    )
    head |= head_options
    return dict(
        type="EncoderDecoder",
        data_preprocessor=dict(
            type="SegDataPreProcessor",
            mean=[127.5] * 3,
            std=[127.5] * 3,
            size=(SIZE, SIZE),
            pad_val=0,
            seg_pad_val=255,
        ),
        backbone=dict(type="TinyBackbone"),
        decode_head=head | dict(in_index=1),
        auxiliary_head=head
        | dict(in_index=0, loss_decode=head["loss_decode"] | dict(loss_weight=0.4)),
        train_cfg=dict(),
        test_cfg=dict(mode="whole"),
    )


def tiny_method(
    method: str, segmentor: dict | None = None, seed: int = 0, **options: Any
) -> nn.Module:
    torch.manual_seed(seed)
    model = MODELS.build(dict(type=method, segmentor=segmentor or tiny_segmentor(), **options))
    model.init_weights()
    return model.train()


def tiny_u2pl(
    segmentor: dict | None = None, seed: int = 0, method: str = "U2PL", **options: Any
) -> nn.Module:
    config = dict(
        projector=dict(embed_dims=4, norm_cfg=dict(type="GN", num_groups=1)),
        contrastive_head=dict(num_anchors=6, num_negatives=7, queue_size=50, min_prob=0.2),
    )
    return tiny_method(method, segmentor, seed, **config | options)


def tiny_reference(segmentor: dict | None = None, seed: int = 0, **options: Any) -> nn.Module:
    head = dict(
        type="ReferenceContrastiveHead",
        num_anchors=6,
        num_negatives=7,
        queue_size=50,
        min_prob=0.2,
    )
    return tiny_u2pl(segmentor, seed, "U2PLReference", **dict(contrastive_head=head) | options)


def sample(height: int, width: int, num_classes: int | None, generator: torch.Generator) -> tuple:
    """An image and its data sample; without ground truth if `num_classes` is None."""
    image = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
    data_sample = SegDataSample(
        metainfo=dict(img_shape=(height, width), ori_shape=(height, width), img_path="image.jpg")
    )
    if num_classes is not None:
        label = torch.randint(0, num_classes, (1, height, width), generator=generator)
        data_sample.gt_sem_seg = PixelData(data=label)
    return image, data_sample


def batch(
    num_labeled: int = 2,
    num_unlabeled: int = 2,
    size: tuple[int, int] = (SIZE, SIZE),
    num_classes: int = NUM_CLASSES,
    seed: int = 0,
) -> dict:
    """Raw batch as a dataloader yields it, labeled images first."""
    generator = torch.Generator().manual_seed(seed)
    classes = [num_classes] * num_labeled + [None] * num_unlabeled
    images, samples = zip(*(sample(*size, c, generator) for c in classes), strict=True)
    return dict(inputs=list(images), data_samples=list(samples))
