import pytest
import torch

from mmseg_u2pl.ops import drop_channels


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
