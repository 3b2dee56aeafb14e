import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from mmseg_u2pl.ops.photometric import blur, change_colors, distort
from strategies import rngs


def images_of(rng, num_images, height=5, width=7):
    values = rng.integers(0, 256, (num_images, 3, height, width))
    return torch.from_numpy(values.astype(np.float32))


def luma(pixel):
    return 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]


def changed(image, brightness, contrast, saturation):
    """Brightness, contrast and saturation one after the other, pixel by pixel."""
    _, height, width = image.shape
    pixels = [[image[:, y, x] * brightness for x in range(width)] for y in range(height)]
    mean = sum(luma(p) for row in pixels for p in row) / (height * width)
    result = np.empty_like(image)
    for y in range(height):
        for x in range(width):
            pixel = contrast * pixels[y][x] + (1 - contrast) * mean
            pixel = saturation * pixel + (1 - saturation) * luma(pixel)
            result[:, y, x] = np.clip(pixel, 0, 255)
    return result


@given(rngs(), st.integers(1, 3))
def test_colors_match_the_definitions(rng, num_images):
    images = images_of(rng, num_images)
    factors = rng.uniform(0, 2, (3, num_images)).astype(np.float32)

    result = change_colors(images, *torch.from_numpy(factors), torch.zeros(num_images))

    for image, after, factor in zip(images, result, factors.T, strict=True):
        expected = changed(image.double().numpy(), *factor.astype(np.float64))
        np.testing.assert_allclose(after.numpy(), expected, atol=2e-3)


def test_turned_hue_keeps_luma_and_gray_and_comes_back_after_a_circle():
    generator = torch.Generator().manual_seed(0)
    # Away from the borders of the color cube, so that nothing is clipped.
    images = 100 + 40 * torch.rand(4, 3, 6, 6, generator=generator)
    images[0] = images[0, :1]
    one = torch.ones(4)

    turned = change_colors(images, one, one, one, torch.full((4,), 0.2))
    back = change_colors(turned, one, one, one, torch.full((4,), 0.8))

    weights = torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(
        torch.einsum("nchw,c->nhw", turned, weights), torch.einsum("nchw,c->nhw", images, weights)
    )
    torch.testing.assert_close(turned[0], images[0], atol=0.05, rtol=0)
    assert (turned[1:] - images[1:]).abs().mean() > 3
    torch.testing.assert_close(back, images, atol=0.05, rtol=0)


@pytest.mark.parametrize("share", [0.1, -0.25])
def test_hue_turns_as_far_as_asked(share):
    def hue(pixel):
        return colorsys.rgb_to_hsv(*(pixel / 255).tolist())[0]

    image = torch.tensor([140.0, 120.0, 110.0])[None, :, None, None]
    one = torch.ones(1)
    turned = change_colors(image, one, one, one, torch.tensor([share]))
    # Hue circles in YIQ and HSV run in opposite directions, and unevenly.
    difference = (hue(image[0, :, 0, 0]) - hue(turned[0, :, 0, 0])) % 1.0
    assert difference == pytest.approx(share % 1.0, abs=0.06)


@given(rngs(), st.floats(0.1, 2.0))
def test_blur_is_a_gaussian_filter(rng, sigma):
    images = images_of(rng, 2, height=9, width=6)

    result = blur(images, torch.tensor([0.0, sigma]))

    assert torch.equal(result[0], images[0])
    expected = gaussian_filter(
        images[1].double().numpy(), sigma, axes=(1, 2), mode="nearest", radius=6
    )
    np.testing.assert_allclose(result[1].numpy(), expected, atol=1e-2)


def test_distorted_images_are_images_and_depend_on_the_generator_alone():
    images = images_of(np.random.default_rng(0), 40, 16, 16)
    state = torch.get_rng_state()

    first, again = (distort(images, torch.Generator().manual_seed(1)) for _ in range(2))

    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.min() >= 0
    assert first.max() <= 255
    assert not torch.equal(first, distort(images, torch.Generator().manual_seed(2)))


def test_colors_are_not_rounded_to_half_precision():
    images = images_of(np.random.default_rng(0), 4, 16, 16)
    expected = distort(images, torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        distorted = distort(images, torch.Generator().manual_seed(1))
    assert distorted.equal(expected)


def test_some_images_are_gray_some_blurred_and_some_left_as_they_are():
    # Vertical stripes of strong color: blurring changes columns, graying makes channels equal.
    stripe = torch.tensor([[200.0, 60.0, 90.0], [40.0, 160.0, 120.0]])
    images = stripe.T[None, :, None, :].repeat(2000, 1, 6, 6)

    result = distort(images, torch.Generator().manual_seed(0))

    gray = (result.amax(dim=1) - result.amin(dim=1)).amax(dim=(1, 2)) < 0.5
    same = (result - images).abs().amax(dim=(1, 2, 3)) < 1e-3
    assert gray.float().mean().item() == pytest.approx(0.2, abs=0.04)
    # Neither jittered (0.2) nor gray (0.8), and not or hardly blurred (0.5).
    assert same.float().mean().item() == pytest.approx(0.2 * 0.8 * 0.5, abs=0.04)


def jittered(count, color, seed=0):
    images = torch.tensor(color)[None, :, None, None].expand(count, 3, 2, 2).contiguous()
    return distort(images, torch.Generator().manual_seed(seed))[:, :, 0, 0]


def test_brightness_changes_by_up_to_a_half():
    factor = jittered(4000, [100.0] * 3)[:, 0] / 100
    assert factor.min().item() == pytest.approx(0.5, abs=0.01)
    assert factor.max().item() == pytest.approx(1.5, abs=0.01)


def test_hue_turns_by_up_to_a_quarter_whatever_the_saturation():
    color = [110.0, 100.0, 95.0]
    to_iq = torch.tensor([[0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    i, q = (jittered(4000, color) @ to_iq.T).T
    i0, q0 = torch.tensor(color) @ to_iq.T
    chroma = torch.complex(i, q) / torch.complex(i0, q0)
    share, scale = chroma.angle() / (2 * np.pi), chroma.abs()
    turned = (scale > 0.05) & (share.abs() > 1e-3)
    assert share[turned].min().item() == pytest.approx(-0.25, abs=0.01)
    assert share[turned].max().item() == pytest.approx(0.25, abs=0.01)
    assert abs(np.corrcoef(share[turned], scale[turned])[0, 1]) < 0.1


def test_blur_is_as_wide_as_said():
    images = torch.full((4000, 3, 15, 15), 100.0)
    images[:, :, 7, 7] = 120.0
    result = distort(images, torch.Generator().manual_seed(0))[:, 0]
    center, beside = (result[:, 7, c] - result[:, 0, 0] for c in (7, 8))
    sigma = (-0.5 / (beside / center).clamp(min=1e-9).log()).sqrt()
    assert sigma.max().item() == pytest.approx(2.0, abs=0.02)
