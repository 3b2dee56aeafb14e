from itertools import combinations

import pytest
import torch

from mmseg_u2pl.ops import complementary_dropout, drop_channels


def test_drops_whole_channels_of_the_last_images_and_scales_the_others_up():
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(5, 400, 2, 3, generator=generator) + 1

    result = drop_channels(features, 2, 0.25, generator)

    assert torch.equal(result[:2], features[:2])
    factor = (result / features)[2:]
    torch.testing.assert_close(factor, factor[:, :, :1, :1].expand_as(factor))
    values = factor[:, :, 0, 0]
    assert ((values == 0) | ((values - 4 / 3).abs() < 1e-5)).all()
    assert (values == 0).float().mean().item() == pytest.approx(0.25, abs=0.05)
    assert not torch.equal(values[0], values[1])


def test_class_tokens_lose_channels_too():
    tokens = torch.ones(3, 400)
    result = drop_channels(tokens, 1, 0.5, torch.Generator().manual_seed(0))
    assert result.shape == tokens.shape
    assert torch.equal(result[0], tokens[0])
    assert result[1:].unique().tolist() == [0, 2]


def test_without_probability_nothing_changes():
    features = torch.rand(2, 3, 4, 4)
    assert torch.equal(drop_channels(features, 0, 0.0, torch.Generator()), features)


def test_gradient_passes_through_what_is_kept():
    features = torch.rand(1, 50, 1, 1, requires_grad=True)
    result = drop_channels(features, 0, 0.5, torch.Generator().manual_seed(0))
    result.sum().backward()
    kept = result.detach().ne(0).float() * 2
    assert torch.equal(features.grad, kept)


@pytest.mark.parametrize("num_images", [1, 2, 5])
def test_views_keep_complementary_channels(num_images, generator):
    perturb = complementary_dropout(num_images, generator)
    features = torch.rand(2 * num_images, 300, 2, 3, generator=generator) + 1

    factor = perturb(features) / features

    mask = factor[:, :, 0, 0].round(decimals=4)
    torch.testing.assert_close(factor, mask[:, :, None, None].expand_as(factor))
    first, second = mask.chunk(2)
    assert torch.equal(first + second, torch.full_like(first, 2))
    untouched = (first == 1).all(dim=1)
    assert untouched.sum() == num_images // 2
    dropped = first[~untouched]
    assert dropped.unique().tolist() == [0, 2]
    # 300 or more draws: a deviation of 0.03 at most
    assert (dropped == 0).float().mean().item() == pytest.approx(0.5, abs=0.13)
    for one, other in combinations(dropped, 2):
        assert not torch.equal(one, other)


def test_any_image_may_be_left_alone():
    left = set()
    for seed in range(30):
        perturb = complementary_dropout(2, torch.Generator().manual_seed(seed))
        left.add((perturb(torch.ones(4, 50)) == 1).all(dim=1).nonzero()[0].item())
    assert left == {0, 1}


def test_maps_of_one_width_share_a_mask_and_others_have_their_own(generator):
    perturb = complementary_dropout(3, generator)
    wide, again, token, narrow = (
        perturb(torch.ones(shape))
        for shape in [(6, 64, 4, 4), (6, 64, 2, 2), (6, 64), (6, 32, 1, 1)]
    )
    assert torch.equal(wide[:, :, 0, 0], again[:, :, 0, 0])
    assert torch.equal(wide[:, :, 0, 0], token)
    assert not torch.equal(narrow[:, :, 0, 0], token[:, :32])
    # The unperturbed images are the same on all levels.
    assert torch.equal((token == 1).all(dim=1), (narrow == 1).all(dim=1).flatten())


def test_half_precision_maps_stay_what_they_are(generator):
    perturb = complementary_dropout(1, generator)
    assert perturb(torch.ones(2, 8)).dtype == torch.float32
    assert perturb(torch.ones(2, 8, 1, 1).half()).dtype == torch.float16
