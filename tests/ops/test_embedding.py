import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

import oracles
from mmseg_u2pl.ops import EmbeddingMap, class_sums, normalized_rows
from strategies import HALF_AND_FULL, LAYOUTS, laid_out, map_shapes, pieces_of_size, rngs

TOLERANCE = 1e-5  # half-precision layers run in single precision


@st.composite
def embedding_maps(draw):
    """Features (N, 3, h, w) of any dtype and layout, with or without a linear layer to width 5."""
    n, h, w = draw(map_shapes())
    rng, dtype = draw(rngs()), draw(st.sampled_from(HALF_AND_FULL))

    def values(*shape):
        return torch.from_numpy(rng.standard_normal(shape)).to(dtype)

    features = laid_out(values(n, 3, h, w), draw(LAYOUTS))
    layers = [(None, None), (values(5, 3), None), (values(5, 3), values(5))]
    return EmbeddingMap(features, *draw(st.sampled_from(layers)))


def vector_of(embedding, place):
    """Embedding of a pixel in float64."""
    vector = oracles.vector_at(embedding.features.double().numpy(), place)
    if embedding.weight is None:
        return vector
    bias = np.zeros(5) if embedding.bias is None else embedding.bias.double().numpy()
    return np.array(
        [
            sum(w * x for w, x in zip(row, vector, strict=True)) + b
            for row, b in zip(embedding.weight.double().numpy(), bias, strict=True)
        ]
    )


@given(embedding_maps(), st.sampled_from([1, 4, 2**20]))
def test_rows_are_the_normalized_embeddings_of_the_pixels_in_their_order(embedding, elements):
    with pieces_of_size(elements):
        rows = normalized_rows(embedding, torch.float32)

    assert rows.is_contiguous()
    places = oracles.places_of(embedding.features)
    for row, place in zip(rows.double().numpy(), places, strict=True):
        vector = vector_of(embedding, place)
        length = np.sqrt((vector**2).sum())
        np.testing.assert_allclose(row * length, vector, atol=TOLERANCE)


@given(embedding_maps(), rngs(), st.integers(0, 9))
def test_embeddings_of_some_pixels_and_of_a_mean(embedding, rng, count):
    n, _, h, w = embedding.features.shape
    places = [tuple(int(rng.integers(size)) for size in (n, h, w)) for _ in range(count)]
    vectors = [vector_of(embedding, place) for place in places]

    some = embedding.at(*torch.tensor(places).reshape(count, 3).long().T)

    assert some.shape == (count, embedding.dims)
    np.testing.assert_allclose(some.double(), np.reshape(vectors, some.shape), atol=TOLERANCE)

    target = torch.zeros(n, h, w).long()
    sums, counts = class_sums(embedding.features, target, 1)
    mean = oracles.mean_vector([vector_of(embedding, p) for p in oracles.places_of(target)])
    projected = embedding.project(sums / counts[:, None])[0]
    np.testing.assert_allclose(projected.double(), mean, atol=TOLERANCE)


@pytest.mark.parametrize("count", [0, 1, 40])
def test_gradients_are_those_of_a_convolution_of_the_whole_map(count):
    generator = torch.Generator().manual_seed(0)

    def values(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    features, weight, bias, scale = values(2, 3, 4, 5), values(6, 3), values(6), values(count, 6)
    pixels = torch.randint(0, 40, (count,), generator=generator)
    image, row, col = pixels // 20, pixels // 5 % 4, pixels % 5
    inputs = features, weight, bias

    dense = F.conv2d(features, weight[:, :, None, None], bias)
    expected = torch.autograd.grad((dense[image, :, row, col] * scale).sum(), inputs)
    some = EmbeddingMap(features, weight, bias).at(image, row, col)
    # Also for no pixels at all, because distributed training waits for the gradients.
    gradients = torch.autograd.grad((some * scale).sum(), inputs)

    for ours, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_automatic_mixed_precision_does_not_round_the_projection():
    weight = torch.tensor([[1 + 2**-10, 2**-10]])
    embedding = EmbeddingMap(torch.ones(1, 2, 1, 1).bfloat16(), weight, torch.ones(1))
    here = torch.zeros(1).long()

    with torch.autocast("cpu", torch.bfloat16):
        rows = embedding.at(here, here, here)

    assert rows.dtype == torch.float32
    assert rows.tolist() == [[2 + 2**-9]]


def test_large_rows_of_half_precision():
    rows = normalized_rows(EmbeddingMap(torch.full((1, 2, 1, 1), 6e4).half()), torch.float32)
    torch.testing.assert_close(rows, torch.full((1, 2), 0.5**0.5))
