import logging

import pytest
import torch
from mmengine.logging import MMLogger
from mmseg.registry import MODELS

from mmseg_u2pl.models import UnreliableContrastiveHead


def test_defaults_are_the_papers():
    head = MODELS.build(dict(type="UnreliableContrastiveHead", num_classes=21, embed_dims=2))

    assert isinstance(head, UnreliableContrastiveHead)
    assert (head.num_anchors, head.num_negatives) == (50, 256)
    assert (head.temperature, head.min_prob) == (0.5, 0.3)
    assert (head.low_rank, head.high_rank) == (3, 20)
    assert head.bank.size.tolist() == [30000] * 21
    assert head.bank.keys.dtype == torch.float16


@pytest.fixture
def messages(caplog):
    """Messages of MMEngine's logger."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.mark.parametrize(("num_classes", "low_rank"), [(2, 1), (3, 2)])
def test_too_few_classes_lower_the_default_rank_with_a_warning(num_classes, low_rank, messages):
    head = UnreliableContrastiveHead(num_classes, 2, queue_size=1)

    assert (head.low_rank, head.high_rank) == (low_rank, 20)
    (record,) = messages.records
    assert record.levelno == logging.WARNING
    assert f"{num_classes} classes are too few for the paper's low_rank=3" in record.message
    assert f"start at probability rank {low_rank}" in record.message


@pytest.mark.parametrize("num_classes", [4, 21])
def test_enough_classes_have_the_papers_ranks_without_a_warning(num_classes, messages):
    head = UnreliableContrastiveHead(num_classes, 2, queue_size=1)

    assert (head.low_rank, head.high_rank) == (3, 20)
    assert not messages.records


def test_a_chosen_rank_is_not_warned_about(messages):
    head = UnreliableContrastiveHead(3, 2, low_rank=1, high_rank=2, queue_size=1)

    assert (head.low_rank, head.high_rank) == (1, 2)
    assert not messages.records


@pytest.mark.parametrize(
    ("num_classes", "low_rank", "fits"), [(2, 2, 1), (3, 3, 2), (3, 0, 2), (21, 21, 3), (5, 5, 3)]
)
def test_a_rank_that_does_not_fit_is_refused_with_one_that_does(num_classes, low_rank, fits):
    with pytest.raises(ValueError, match=rf"low_rank={low_rank} leaves .* low_rank={fits}$"):
        UnreliableContrastiveHead(num_classes, 2, low_rank=low_rank)

    head = UnreliableContrastiveHead(num_classes, 2, low_rank=fits, queue_size=1)
    assert head.low_rank == fits


def test_refuses_ranks_in_the_wrong_order():
    with pytest.raises(ValueError, match="high_rank=3 must be above low_rank=3"):
        UnreliableContrastiveHead(21, 2, low_rank=3, high_rank=3)


def test_refuses_a_single_class():
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        UnreliableContrastiveHead(1, 2)


@pytest.mark.parametrize("name", ["num_anchors", "num_negatives", "temperature"])
@pytest.mark.parametrize("value", [0, -1])
def test_refuses_numbers_that_are_not_positive(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be .* (at least 1|above 0), got {value}"):
        UnreliableContrastiveHead(5, 2, **{name: value})


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_refuses_a_least_probability_outside_of_zero_to_one(value):
    with pytest.raises(ValueError, match=rf"min_prob must lie in \[0, 1\], got {value}"):
        UnreliableContrastiveHead(5, 2, min_prob=value)


def test_refuses_an_unknown_loss():
    with pytest.raises(ValueError, match="loss must be one of 'info_nce', 'binary', got 'triplet'"):
        UnreliableContrastiveHead(5, 2, loss="triplet")
