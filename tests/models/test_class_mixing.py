"""Adaptive copy-paste and CutMix, compared with independent versions that use a flood fill."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_u2pl.models.batches import LabeledBatch
from mmseg_u2pl.models.class_mixing import AdaptiveCopyPaste, AdaptiveCutMix, region_boxes
from mmseg_u2pl.ops import cutmix_plan, paste_plan, zoom
from strategies import rngs


def flooded_boxes(mask, min_share):
    """Bounding boxes of regions of more than a share of the pixels, one pixel at a time."""
    left_over = {(int(r), int(c)) for r, c in np.argwhere(mask)}
    boxes = []
    while left_over:
        region, border = set(), [min(left_over)]
        while border:
            row, col = border.pop()
            if (row, col) in left_over:
                left_over.remove((row, col))
                region.add((row, col))
                border += [(row + i, col + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        if len(region) > min_share * mask.size:
            rows, cols = zip(*region, strict=True)
            boxes.append((min(rows), max(rows) + 1, min(cols), max(cols) + 1))
    return boxes


@given(rngs(), st.integers(1, 12), st.integers(1, 12), st.sampled_from([0.0, 0.02, 0.1, 1.0]))
def test_boxes_of_regions(rng, height, width, min_share):
    mask = rng.random((height, width)) < 0.35
    assert sorted(region_boxes(mask, min_share)) == sorted(flooded_boxes(mask, min_share))


def slow_cutmix(label, confidence, generator, min_area, min_region):
    """Masks and partners, with the random numbers in the order in which they are drawn."""
    masks = cutmix_plan(label, generator).mask.numpy().copy()
    count = len(label)
    doubt = np.exp(1 - confidence.double().numpy())
    odds = torch.from_numpy(doubt / doubt.sum()).float()
    classes = torch.multinomial(odds, count, replacement=True, generator=generator).tolist()
    uniform = torch.rand(count, 2, generator=generator).numpy()
    partners, kinds = [], []
    label = label.numpy()
    for image in range(count):
        others = [other for other in range(count) if other != image]
        showing = []
        for other in others:
            if np.sum(label[other] == classes[image]) >= min_area * label[other].size:
                showing.append(other)
        candidates = showing if showing else others
        partner = candidates[int(uniform[image, 0] * len(candidates))]
        regions = region_boxes(label[partner] == classes[image], min_region)  # see above
        if regions:
            top, bottom, left, right = regions[int(uniform[image, 1] * len(regions))]
            masks[image] = False
            for row in range(top, bottom):
                for col in range(left, right):
                    masks[image, row, col] = True
        partners.append(partner)
        kinds.append((bool(showing), bool(regions)))
    return masks, partners, kinds


def blobs(rng, num_images, num_classes):
    """Labels in blocks, some of them padding."""
    coarse = rng.integers(-1, num_classes, (num_images, 4, 4))
    return torch.from_numpy(coarse.repeat(5, axis=1).repeat(6, axis=2))


def test_adaptive_cutmix_matches_its_rules():
    seen = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        label = blobs(rng, int(rng.integers(2, 5)), 8)
        confidence = torch.from_numpy(rng.random(8)).float()
        shares = float(rng.choice([0.0, 0.07, 0.3])), float(rng.choice([0.0, 0.07, 0.2]))

        plan = AdaptiveCutMix(*shares)(label, confidence, torch.Generator().manual_seed(seed))

        given = label, confidence, torch.Generator().manual_seed(seed), *shares
        masks, partners, kinds = slow_cutmix(*given)
        np.testing.assert_array_equal(plan.mask, masks)
        assert plan.partner.tolist() == partners
        seen |= set(kinds)
    assert len(seen) == 4  # all cases occurred


def test_classes_that_the_student_is_unsure_of_are_drawn_more_often(generator):
    # Each image is one region of each class, side by side, so the box tells the class.
    label = torch.tensor([0, 1]).repeat_interleave(5).expand(1000, 4, 10)
    plan = AdaptiveCutMix()(label, torch.tensor([1.0, 0.0]), generator)
    second = plan.mask[:, 0, 9]
    assert (second != plan.mask[:, 0, 0]).all()
    assert second.float().mean() == pytest.approx(np.e / (1 + np.e), abs=0.05)
    assert (plan.partner != torch.arange(1000)).all()


def test_what_a_single_image_gets_is_a_region_of_its_mirror_image(generator):
    label = torch.zeros(1, 8, 8, dtype=torch.int64)
    label[0, 1:4, 5:] = 1
    confidence = torch.tensor([1.0, -99.0])  # almost always the second class
    plan = AdaptiveCutMix()(label, confidence, generator)
    assert plan.pasted(label)[plan.mask].eq(1).all()
    assert plan.mask.sum() == 9
    copy_paste = AdaptiveCopyPaste(prob=1.0, scale=(1, 1))
    pasted = copy_paste(labeled_batch(label), confidence, generator)
    assert torch.equal(pasted.label, label | label.flip(-1))


def labeled_batch(label):
    images = torch.rand(len(label), 3, *label.shape[1:])
    samples = [SegDataSample(gt_sem_seg=PixelData(data=one[None])) for one in label]
    return LabeledBatch(images, samples, label)


def test_copy_paste_draws_by_the_square_root_and_never_what_is_excluded():
    labeled = labeled_batch(torch.randint(0, 5, (3, 6, 6)))
    confidence = torch.tensor([0.1, 0.5, 0.9, 0.3, 1.0])
    doubt = np.exp(np.sqrt(1 - confidence.numpy()))
    doubt[[0, 3]] = 0
    odds = torch.from_numpy(doubt / doubt.sum())
    copy_paste = AdaptiveCopyPaste(prob=0.6, num_classes=2, scale=(0.5, 1.5), never=[0, 3])
    for seed in range(20):
        pasted = copy_paste(labeled, confidence, torch.Generator().manual_seed(seed))
        own = torch.Generator().manual_seed(seed)
        images, label = zoom(labeled.images, labeled.label, (0.5, 1.5), own)
        mask, partner, _ = paste_plan(label, odds, 2, 0.6, own)
        assert torch.equal(pasted.label, label[partner].where(mask, labeled.label))
        assert torch.equal(pasted.images, images[partner].where(mask[:, None], labeled.images))
        assert not torch.isin(pasted.label[mask], torch.tensor([-1, 0, 3])).any()
        for sample, own_label in zip(pasted.data_samples, pasted.label, strict=True):
            assert torch.equal(sample.gt_sem_seg.data[0], own_label)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdaptiveCopyPaste(prob=2), r"copy_paste.prob must lie in \[0, 1\], got 2"),
        (lambda: AdaptiveCopyPaste(num_classes=0), "num_classes must be an integer of at least 1"),
        (
            lambda: AdaptiveCopyPaste(scale=(1.5, 2)),
            "copy_paste.scale must be two factors around 1",
        ),
        (lambda: AdaptiveCopyPaste(never=[-1]), "copy_paste.never must be an integer of at least"),
        (lambda: AdaptiveCutMix(min_area=-1), "cutmix.min_area must lie"),
        (lambda: AdaptiveCutMix(min_region=7), "cutmix.min_region must lie"),
    ],
)
def test_options_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()
