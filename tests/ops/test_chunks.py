import pytest
import torch

from gradients import gradcheck
from mmseg_u2pl.ops.chunks import pieces_of, pixel_pieces, sum_with_gradient
from strategies import pieces_of_size

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("length", "width", "expected"),
    [
        (7, 2, [(0, 3), (3, 6), (6, 7)]),
        (6, 2, [(0, 3), (3, 6)]),
        (2, 100, [(0, 1), (1, 2)]),
        (2, 0, [(0, 2)]),
        (0, 2, []),
    ],
)
def test_pieces_cover_the_dimension(length, width, expected):
    with pieces_of_size(6):
        assert [(p.start, p.stop) for p in pieces_of(length, width, CPU)] == expected


def test_pieces_of_pixels_know_their_place():
    values = torch.arange(2 * 3 * 5).view(2, 3, 5)
    with pieces_of_size(6):
        pieces = list(pixel_pieces(values))
    assert [(p.start, p.stop) for _, p in pieces] == [
        (0, 2),
        (2, 4),
        (4, 5),
        (5, 7),
        (7, 9),
        (9, 10),
    ]
    rows = torch.cat([values[piece].T for piece, _ in pieces])
    assert torch.equal(rows, values.transpose(1, 2).flatten(0, 1))


def squares(part, factor):
    return factor * (part**2).sum()


def pieces(values):
    return ((slice(i, i + 1), float(i + 1)) for i in range(len(values)))


def test_hand_worked_sum_and_gradient():
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)

    total = sum_with_gradient(squares, values, pieces(values))
    (3 * total).backward()

    assert total.item() == 1 + 4 + 2 * (9 + 16)
    assert values.grad.tolist() == [[6.0, 12.0], [36.0, 48.0]]


def test_gradient_is_the_derivative():
    values = torch.rand(3, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda v: sum_with_gradient(squares, v, pieces(v)), values)


def test_goes_through_views_and_may_be_used_twice():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    total = sum_with_gradient(squares, values.view(2, 2), pieces(values[:2]))
    (total + total).backward()
    assert values.grad.tolist() == [4.0, 8.0, 24.0, 32.0]


def test_a_second_backward_pass_gives_the_same_gradient():
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    total = sum_with_gradient(squares, values, pieces(values))
    (first,) = torch.autograd.grad(total, values, retain_graph=True)
    (second,) = torch.autograd.grad(total, values)
    assert torch.equal(first, second)


def test_autocast_rounds_neither_the_sum_nor_the_gradient():
    values = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weight = torch.randn(50, 40, generator=torch.Generator().manual_seed(1))

    def function(part, factor):
        return factor * (part @ weight.to(part)).logsumexp(dim=1).sum()

    exact = sum_with_gradient(function, values, pieces(values))
    (expected,) = torch.autograd.grad(exact, values)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = sum_with_gradient(function, values, pieces(values))
    (gradient,) = torch.autograd.grad(mixed, values)

    assert torch.equal(mixed, exact)
    assert torch.equal(gradient, expected)


def test_without_gradient_none_is_computed():
    values = torch.ones(2, 2, requires_grad=True)
    with torch.no_grad():
        total = sum_with_gradient(squares, values, pieces(values))
    assert total.item() == 6.0
    assert not total.requires_grad
    assert not sum_with_gradient(squares, values.detach(), pieces(values)).requires_grad


def test_nothing_to_sum_is_zero_but_in_the_graph():
    values = torch.ones(0, 2, requires_grad=True)
    total = sum_with_gradient(squares, values, iter(()))
    total.backward()
    assert total.item() == 0.0
    assert values.grad.shape == (0, 2)


def test_small_gradients_of_half_precision_survive_until_they_are_scaled():
    values = torch.ones(1, 4, dtype=torch.float16, requires_grad=True)
    total = sum_with_gradient(lambda part, _: 1e-9 * part.float().sum(), values, pieces(values))
    (total * 2.0**20).backward()
    torch.testing.assert_close(values.grad, torch.full_like(values, 1e-9 * 2**20))
