"""The mask of three boxes, compared with one painted pixel by pixel."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmseg_u2pl.ops import boxes_plan, mix


def painted(uniform, height, width):
    """(N, H, W): each box inverts its pixels."""
    num_images = uniform.shape[1]
    mask = np.zeros((num_images, height, width), dtype=bool)
    for image in range(num_images):
        for box in range(3):
            area, shape, down, across = (np.float32(x) for x in uniform[:, image, box])
            area = np.float32(0.25) + np.float32(0.25) * area  # of all three, if none overlaps
            share_h = area**shape
            box_h = round(float(share_h / np.sqrt(np.float32(3)) * height))
            box_w = round(float(area / share_h / np.sqrt(np.float32(3)) * width))
            top, left = (
                round(float((height - box_h) * down)),
                round(float((width - box_w) * across)),
            )
            for row in range(top, top + box_h):
                for col in range(left, left + box_w):
                    mask[image, row, col] ^= True
    return mask


@given(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**63 - 1))
def test_matches_the_definition(num_images, height, width, seed):
    uniform = torch.rand(4, num_images, 3, generator=torch.Generator().manual_seed(seed))
    label = torch.zeros(num_images, height, width)

    plan = boxes_plan(label, torch.Generator().manual_seed(seed))

    np.testing.assert_array_equal(plan.mask, painted(uniform.numpy(), height, width))
    assert plan.partner.tolist() == [(i + 1) % num_images for i in range(num_images)]


def test_boxes_cover_at_most_half_and_reach_all_places(generator):
    masks = boxes_plan(torch.zeros(500, 50, 60), generator).mask.float()
    shares = masks.mean(dim=(1, 2))
    assert shares.max() <= 0.52  # but for rounding
    assert 0.2 < shares.mean() < 0.375  # without overlaps
    assert masks[:, 2:-2, 2:-2].any(dim=0).all()  # corners need a rare draw


def test_a_single_image_is_pasted_from_its_mirror_image(generator):
    image = torch.rand(1, 3, 8, 8)
    plan = boxes_plan(torch.zeros(1, 8, 8), generator)
    assert plan.mask.any()
    expected = torch.where(plan.mask[:, None], image.flip(-1), image)
    assert torch.equal(mix(image, plan), expected)
