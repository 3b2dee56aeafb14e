import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import oracles
from mmseg_u2pl.ops import resize_logits, resize_nearest, zoom
from strategies import LAYOUTS, laid_out, map_shapes, rngs

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def numbered(source):
    """A map whose values encode their position: 1000 * row + column."""
    return (1000 * torch.arange(source[0])[:, None] + torch.arange(source[1]))[None]


@given(SIZES, SIZES, st.sampled_from([torch.int64, torch.float32]))
def test_nearest_takes_the_source_pixel_at_the_center(source, target, dtype):
    result = resize_nearest(numbered(source).to(dtype), target)

    assert result.dtype == dtype
    assert result.shape == (1, *target)
    for _, row, col in oracles.places_of(result):
        source_row, source_col = divmod(int(result[0, row, col]), 1000)
        assert source_row in oracles.center_indices(row, target[0], source[0])
        assert source_col in oracles.center_indices(col, target[1], source[1])


@given(rngs(), map_shapes(), SIZES, LAYOUTS.filter(lambda name: name != "channels_last"))
def test_masks_and_labels_take_the_same_pixels(rng, shape, target, layout):
    mask = laid_out(torch.from_numpy(rng.random(shape) < 0.5), layout)
    taken = resize_nearest(numbered(shape[1:]), target)[0]

    result = resize_nearest(mask, target)

    assert result.dtype == torch.bool
    assert torch.equal(result, mask[:, taken // 1000, taken % 1000])


@pytest.mark.parametrize(
    ("source", "target"), [(512, 128), (513, 129), (769, 193), (769, 97), (1024, 171), (33, 321)]
)
def test_nearest_at_the_strides_of_networks(source, target):
    result = resize_nearest(torch.arange(source)[None, None], (1, target))

    for i, index in enumerate(result.flatten().tolist()):
        assert index in oracles.center_indices(i, target, source)


def test_nearest_of_the_same_size_is_the_same():
    values = torch.arange(6).reshape(1, 2, 3)

    assert torch.equal(resize_nearest(values, [2, 3]), values)


def test_nearest_keeps_all_labels_of_large_label_sets():
    values = torch.arange(1000)[None, None]

    assert resize_nearest(values, (1, 2000)).unique().tolist() == list(range(1000))


def test_logits_of_the_same_size_are_the_same():
    logits = torch.rand(2, 3, 4, 5)

    assert torch.equal(resize_logits(logits, [4, 5]), logits)


def test_hand_worked_logits():
    logits = torch.tensor([[[[0.0, 4.0]]]])

    assert resize_logits(logits, (1, 4)).flatten().tolist() == [0.0, 1.0, 3.0, 4.0]
    assert resize_logits(logits, [1, 5], align_corners=True).flatten().tolist() == [0, 1, 2, 3, 4]


def test_logits_of_a_plane_stay_a_plane():
    # value = 10 * y + x over the unit square, corners aligned: still that at every resolution
    def plane(height, width):
        y, x = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)
        return (10 * y + x)[None, None]

    result = resize_logits(plane(3, 5), (7, 4), align_corners=True)

    torch.testing.assert_close(result, plane(7, 4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [(3, 4), (7, 9)])
def test_logits_of_half_precision_are_resized_in_single_precision(dtype, size, generator):
    logits = (10 * torch.randn(2, 5, 3, 4, generator=generator)).to(dtype)

    result = resize_logits(logits, size)

    assert result.dtype == torch.float32
    assert torch.equal(result, resize_logits(logits.float(), size))


@pytest.mark.parametrize("seed", range(8))
def test_zoom_samples_each_image_at_a_scale_and_place_of_its_own(seed):
    count, height, width, (low, high) = 3, 7, 9, (0.4, 2.0)
    uniform = torch.rand(4, count, generator=torch.Generator().manual_seed(seed)).double().tolist()
    rows, cols = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    images = torch.stack([rows, cols]).double().expand(count, -1, -1, -1)  # positions
    label = (10 * rows + cols).expand(count, -1, -1)

    zoomed, marked = zoom(images, label, (low, high), torch.Generator().manual_seed(seed))

    for image, row, col in oracles.places_of(label):
        side, amount, across, down = (draws[image] for draws in uniform)
        factor = 1 + ((low if side < 0.5 else high) - 1) * amount
        source = []
        for place, size, where in ((row, height, down), (col, width, across)):
            # A picture of size * factor lies at this place in the image, or around it.
            first = (size - size * factor) * (1 - where if factor < 1 else where)
            source.append((place + 0.5 - first) / factor - 0.5)
        limits = (height - 1, width - 1)
        expected = [min(max(at, 0), limit) for at, limit in zip(source, limits, strict=True)]
        assert zoomed[image, :, row, col].tolist() == pytest.approx(expected, abs=1e-5)
        if any(abs(at % 1 - 0.5) < 1e-4 for at in source):
            continue  # between two pixels
        row_at, col_at = (round(at) for at in source)
        inside = 0 <= row_at < height and 0 <= col_at < width
        assert marked[image, row, col] == (10 * row_at + col_at if inside else -1)


def test_zoom_in_mixed_precision_samples_the_same_places():
    images, label = torch.rand(2, 3, 200, 300), torch.arange(300).expand(2, 200, 300)
    exact, marked = zoom(images, label, (0.5, 2.0), torch.Generator().manual_seed(0))

    with torch.autocast("cpu", torch.bfloat16):
        zoomed, again = zoom(images, label, (0.5, 2.0), torch.Generator().manual_seed(0))

    assert torch.equal(zoomed, exact)
    assert torch.equal(again, marked)
