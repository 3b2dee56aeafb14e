"""Pixels of unlabeled images that belong to the image."""

import torch
from mmengine.structures import PixelData

from mmseg_u2pl.models.batches import IMAGE_PIXELS, split_batch
from tiny import SIZE, batch, tiny_u2pl


def test_padding_is_neither_reliable_nor_unreliable():
    model = tiny_u2pl()
    raw = batch(1, 1, size=(20, SIZE))
    data = model.data_preprocessor(raw, True)
    _, unlabeled = split_batch(**data, ignore_index=255)
    assert unlabeled.valid[0, :20].all()
    assert not unlabeled.valid[0, 20:].any()


def test_padding_at_the_right_is_not_valid():
    model = tiny_u2pl()
    data = model.data_preprocessor(batch(1, 1, size=(20, 24)), True)
    _, unlabeled = split_batch(**data, ignore_index=255)
    assert unlabeled.valid[0, :20, :24].all()
    assert unlabeled.valid.sum() == 20 * 24


def test_pixels_that_transforms_added_are_not_valid_either():
    raw = batch(1, 2, size=(20, SIZE))
    own = torch.ones(1, 20, SIZE, dtype=torch.bool)
    own[:, :5] = own[:, :, 9] = False
    setattr(raw["data_samples"][1], IMAGE_PIXELS, PixelData(data=own))
    model = tiny_u2pl()
    data = model.data_preprocessor(raw, True)  # pads at the bottom
    _, unlabeled = split_batch(**data, ignore_index=255)
    assert unlabeled.valid[0, :20].equal(own[0])
    assert not unlabeled.valid[:, 20:].any()
    assert unlabeled.valid[1, :20].all()
