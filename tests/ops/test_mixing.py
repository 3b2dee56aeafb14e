from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import oracles
from mmseg_u2pl.ops import MIXINGS, MixPlan, cutmix_plan, mix, resize_nearest
from mmseg_u2pl.ops.mixing import classmix_plan, cutout_plan, identity_plan
from strategies import LAYOUTS, laid_out, rngs

SEEDS = st.integers(0, 2**63 - 1)
SIZES = st.tuples(st.integers(1, 60), st.integers(1, 60))


def plan_of(num_images, size, seed=0):
    return cutmix_plan(torch.zeros(num_images, *size), torch.Generator().manual_seed(seed))


def boxes_of(plan):
    """(top, bottom, left, right) of each image's box, after a check that it is one."""
    for mask in plan.mask.numpy():
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        top, bottom, left, right = rows[0], rows[-1] + 1, cols[0], cols[-1] + 1
        assert mask[top:bottom, left:right].all()
        assert mask.sum() == (bottom - top) * (right - left)
        yield top, bottom, left, right


@given(st.integers(1, 4), st.tuples(st.integers(8, 99), st.integers(8, 99)), SEEDS)
def test_boxes_cover_half_of_the_area(num_images, size, seed):
    height, width = size
    plan = plan_of(num_images, size, seed)

    assert plan.mask.shape == (num_images, *size)
    assert plan.mask.dtype == torch.bool
    for top, bottom, left, right in boxes_of(plan):
        # Rounding an edge moves it by half a pixel, so each side is off by one at most.
        rows, cols = int(bottom - top), int(right - left)
        assert width / 2 - 1 <= cols <= width
        assert height / 2 - 1 <= rows <= height
        half = height * width / 2
        assert (rows - 1) * (cols - 1) <= half <= (rows + 1) * (cols + 1)


def test_half_of_a_large_image_is_half_to_a_pixel():
    masks = plan_of(8, (1024, 2048)).mask

    np.testing.assert_allclose(masks.sum(dim=(1, 2)) / 1024 / 2048, 0.5, atol=1 / 1024 + 1 / 2048)


def test_widths_and_places_are_uniform_and_independent():
    height, width, margin = 400, 300, 20
    boxes = [box for seed in range(10) for box in boxes_of(plan_of(200, (height, width), seed))]
    top, bottom, left, right = np.array(boxes).T
    down, across = height - (bottom - top), width - (right - left)  # room to move
    # In boxes that can hardly move, rounding to whole pixels would dominate.
    movable = (down >= margin) & (across >= margin)
    narrowest = width * height / 2 / (height - margin)
    shares = (right - left - narrowest) / (width - margin - narrowest)
    places = np.stack([shares, left / np.maximum(across, 1), top / np.maximum(down, 1)])

    counts, _ = np.histogram(right - left, bins=10, range=(width / 2, width))
    assert counts.sum() == 2000
    assert oracles.looks_uniform(counts)
    for first, second in combinations(places[:, movable], 2):
        counts, _, _ = np.histogram2d(first, second, bins=4, range=((0, 1), (0, 1)))
        assert counts.sum() > 1500
        assert oracles.looks_uniform(counts.flatten())


def test_boxes_reach_all_places():
    masks = plan_of(3000, (9, 14)).mask

    assert masks.any(dim=0).all()
    # A box of half the area is at least half as wide and high as the image, so only the center of
    # the image can be in all boxes.
    always = masks.all(dim=0).nonzero()
    assert always.tolist() in ([], [[4, 6]], [[4, 7]], [[4, 6], [4, 7]])


def test_images_of_a_batch_have_boxes_of_their_own():
    boxes = list(boxes_of(plan_of(8, (100, 100))))

    assert len(set(boxes)) == 8


def test_the_next_image_is_pasted_and_the_first_into_the_last():
    assert plan_of(4, (8, 8)).partner.tolist() == [1, 2, 3, 0]


@given(st.integers(1, 4), SIZES, SEEDS)
def test_the_same_seed_draws_the_same_plan(num_images, size, seed):
    first, again = plan_of(num_images, size, seed), plan_of(num_images, size, seed)

    assert torch.equal(first.partner, again.partner)
    assert torch.equal(first.mask, again.mask)


def test_another_seed_draws_another_plan():
    assert not torch.equal(plan_of(2, (64, 64), 0).mask, plan_of(2, (64, 64), 1).mask)


def test_the_global_random_state_is_left_alone():
    state = torch.get_rng_state()

    plan_of(2, (64, 64))

    assert torch.equal(torch.get_rng_state(), state)


MAPS = {
    "images": lambda rng, n, size: torch.from_numpy(rng.random((n, 3, *size))).float(),
    "half images": lambda rng, n, size: torch.from_numpy(rng.random((n, 3, *size))).half(),
    "labels": lambda rng, n, size: torch.from_numpy(rng.integers(0, 256, (n, *size))),
    "masks": lambda rng, n, size: torch.from_numpy(rng.random((n, *size)) < 0.5),
}


@given(st.sampled_from(sorted(MAPS)), rngs(), st.integers(1, 4), SIZES, LAYOUTS)
def test_each_pixel_is_the_partners_inside_the_box_and_its_own_outside(
    kind, rng, num_images, size, layout
):
    plan = plan_of(num_images, size, int(rng.integers(2**32)))
    values = MAPS[kind](rng, num_images, size)
    if values.dim() == 4 or layout != "channels_last":
        values = laid_out(values, layout)

    mixed = mix(values, plan)

    assert mixed.dtype == values.dtype
    assert mixed.shape == values.shape
    for image, row, col in oracles.places_of(values):
        source, place = image, col
        if plan.mask[image, row, col]:
            source = (image + 1) % num_images
            place = col if num_images > 1 else size[1] - 1 - col
        assert torch.equal(mixed[image][..., row, col], values[source][..., row, place])


@given(rngs(), st.integers(2, 3), SIZES, SIZES)
def test_coarser_maps_use_the_same_boxes(rng, num_images, size, grid):
    plan = plan_of(num_images, size, int(rng.integers(2**32)))
    values = torch.arange(num_images)[:, None, None].expand(num_images, *grid)

    mixed, mask = mix(values, plan).tolist(), plan.mask.tolist()

    for image, row, col in oracles.places_of(values):
        # If a border of the box runs through the center of a coarse pixel, both are correct.
        seen = {
            (image + mask[image][i][j]) % num_images
            for i in oracles.center_indices(row, grid[0], size[0])
            for j in oracles.center_indices(col, grid[1], size[1])
        }
        assert mixed[image][row][col] in seen


@given(rngs(), SIZES, SIZES)
def test_labels_may_be_mixed_before_or_after_they_are_resized(rng, size, grid):
    plan = plan_of(3, size, int(rng.integers(2**32)))
    label = torch.from_numpy(rng.integers(0, 256, (3, *size)))

    assert torch.equal(
        mix(resize_nearest(label, grid), plan), resize_nearest(mix(label, plan), grid)
    )


@pytest.mark.parametrize("mixing", ["cutmix", "classmix"])
def test_a_single_image_is_pasted_from_its_mirror_image(mixing, generator):
    label = torch.randint(0, 4, (1, 8, 9), generator=generator)
    values = torch.rand(1, 3, 8, 9, generator=generator)
    plan = MIXINGS[mixing](label, 1.0, generator)
    mixed = mix(values, plan)
    assert plan.mask.any()
    assert torch.equal(mixed, torch.where(plan.mask[:, None], values.flip(-1), values))


def test_a_hand_made_plan():
    plan = MixPlan(torch.tensor([[[True, False]], [[False, True]]]), torch.tensor([1, 0]))
    values = torch.tensor([[[1, 2]], [[30, 40]]])

    assert mix(values, plan).tolist() == [[[30, 2]], [[30, 2]]]


def test_the_input_is_not_changed():
    values = torch.arange(12).reshape(2, 2, 3)
    before = values.clone()

    mix(values, plan_of(2, (2, 3)))

    assert torch.equal(values, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_gradient_goes_to_the_pixels_that_were_taken(dtype):
    values = torch.zeros(2, 1, 1, 2, dtype=dtype, requires_grad=True)
    plan = MixPlan(torch.tensor([[[True, False]], [[False, False]]]), torch.tensor([1, 0]))

    mix(values, plan).sum().backward()

    assert values.grad.flatten().tolist() == [0.0, 1.0, 2.0, 1.0]


def generator_of(seed):
    return torch.Generator().manual_seed(seed)


def test_cutout_erases_the_box_that_cutmix_pastes():
    label = torch.zeros(3, 20, 30, dtype=torch.int64)
    plan = cutout_plan(label, generator_of(5))
    assert torch.equal(plan.mask, cutmix_plan(label, generator_of(5)).mask)
    for values in (torch.rand(3, 2, 20, 30) + 1, torch.ones(3, 20, 30, dtype=torch.bool)):
        mixed = mix(values, plan)
        keep = ~(plan.mask if values.dim() == 3 else plan.mask[:, None].expand_as(values))
        assert torch.equal(mixed[keep], values[keep])
        assert not mixed[~keep].any()


@given(rngs(), st.integers(1, 3), st.sampled_from([1, 2, 5, 171]), SIZES, SEEDS)
def test_classmix_pastes_half_of_the_classes_of_the_next_image(
    rng, num_images, classes, size, seed
):
    label = torch.from_numpy(rng.integers(0, classes, (num_images, *size)))

    plan = classmix_plan(label, generator_of(seed))

    assert plan.partner.tolist() == [(i + 1) % num_images for i in range(num_images)]
    for image in range(num_images):
        source = label[(image + 1) % num_images] if num_images > 1 else label[image].flip(-1)
        pasted = set(source[plan.mask[image]].tolist())
        kept = set(source[~plan.mask[image]].tolist())
        # A class is pasted as a whole or not at all.
        assert not pasted & kept
        assert len(pasted) == (len(pasted | kept) + 1) // 2


def test_classmix_pastes_each_class_equally_often():
    label = torch.tensor([[[0, 2, 5, 9]]] * 2)
    counts = sum(classmix_plan(label, generator_of(seed)).mask[0, 0].int() for seed in range(2000))
    pairs = {tuple(classmix_plan(label, generator_of(s)).mask[0, 0].tolist()) for s in range(200)}
    # Two of four are pasted: each in half of the cases, with a deviation of 22, and in all pairs.
    assert (counts - 1000).abs().max() < 130
    assert len(pairs) == 6


@pytest.mark.parametrize("prob", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("mixing", ["cutmix", "cutout", "classmix"])
def test_share_of_the_steps_that_mix(mixing, prob):
    label = torch.tensor([[[0, 1, 2, 3]] * 4, [[4, 5, 6, 7]] * 4])
    mixed = sum(
        bool(MIXINGS[mixing](label, prob, generator_of(seed)).mask.any()) for seed in range(800)
    )
    # Deviation of the count at a quarter: 12
    assert abs(mixed - 800 * prob) < (70 if prob == 0.25 else 1)


@pytest.mark.parametrize(
    ("mixing", "plan"),
    [("cutmix", cutmix_plan), ("cutout", cutout_plan), ("classmix", classmix_plan)],
)
def test_the_coin_does_not_change_the_plan(mixing, plan):
    label = torch.randint(0, 4, (2, 8, 8), generator=generator_of(0))
    drawn = MIXINGS[mixing](label, 1.0, generator_of(3))
    assert torch.equal(drawn.mask, plan(label, generator_of(3)).mask)


def test_small_boxes_are_drawn_for_each_image():
    label = torch.zeros(9, 16, 16, dtype=torch.int64)
    plan = MIXINGS["small_boxes"](label, 0.5, generator_of(0))
    assert 0 < plan.mask.flatten(1).any(dim=1).sum() < len(label)


def test_no_mixing_changes_nothing():
    values = torch.rand(2, 3, 8, 8)
    plan = identity_plan(torch.zeros(2, 8, 8), generator_of(0))
    assert torch.equal(mix(values, plan), values)
