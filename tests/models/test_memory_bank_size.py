import pytest
import torch
from mmengine.logging import MMLogger

from mmseg_u2pl.models import CategoryMemoryBank


@pytest.fixture
def messages(caplog):
    """Messages of MMEngine's logger, of level INFO and above."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture
def bank_of():
    """Makes a bank without allocating its queues."""

    def make(*args, **kwargs):
        with torch.device("meta"):
            return CategoryMemoryBank(*args, **kwargs)

    return make


@pytest.mark.parametrize("num_classes", [2, 19, 21])
def test_few_classes_have_the_papers_queues_without_a_message(num_classes, bank_of, messages):
    bank = bank_of(num_classes, 256, dtype="float32")

    assert bank.sizes == [30_000] * num_classes
    assert not messages.records


@pytest.mark.parametrize(
    ("num_classes", "embed_dims", "dtype", "size", "paper"),
    [
        (22, 256, "float16", 23_831, "322 MiB"),
        (150, 256, "float16", 3495, "2197 MiB"),
        (150, 256, "float32", 1747, "4395 MiB"),
        (171, 64, "float16", 12_264, "626 MiB"),
        (2**20, 256, "float16", 1, "15360000 MiB"),
    ],
)
def test_many_classes_share_256_mib_and_the_log_says_so(
    num_classes, embed_dims, dtype, size, paper, bank_of, messages
):
    bank = bank_of(num_classes, embed_dims, dtype=dtype)

    assert set(bank.sizes) == {size}
    (record,) = messages.records
    assert f"{num_classes} classes has a queue of {size} embeddings" in record.message
    assert f"The paper's 30000 would take {paper}" in record.message
    assert "set model.contrastive_head.queue_size" in record.message


def test_the_default_exceeds_neither_256_mib_nor_the_papers_size(bank_of):
    for num_classes in range(22, 2000, 41):
        bank = bank_of(num_classes, 256)
        assert 2**28 - num_classes * 512 < bank.keys.nbytes <= 2**28
    assert bank_of(22, 8).sizes == [30_000] * 22


def test_a_chosen_size_is_kept_without_a_message(bank_of, messages):
    assert bank_of(150, 256, 30_000).sizes == [30_000] * 150
    assert not messages.records


def test_one_size_for_all_classes():
    bank = CategoryMemoryBank(3, 8, 4)

    assert bank.num_classes == 3
    assert bank.size.tolist() == [4, 4, 4]
    assert bank.keys.shape == (12, 8)


@pytest.mark.parametrize("size", [0, -1, [3], [3, 3, 3], [3, 0], []])
def test_refuses_sizes_that_do_not_fit(size):
    with pytest.raises(
        ValueError, match=r"queue_size must be an? (number or a list of 2|integer of at least 1)"
    ):
        CategoryMemoryBank(2, 8, size)


def test_refuses_an_unknown_dtype():
    with pytest.raises(
        ValueError, match="queue_dtype must be one of 'float16', 'float32', got 'int8'"
    ):
        CategoryMemoryBank(2, 8, 4, dtype="int8")
