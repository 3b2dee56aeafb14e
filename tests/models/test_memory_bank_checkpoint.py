import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmseg_u2pl.models import CategoryMemoryBank
from queues import axes_in, push


def sampled(bank):
    return bank.keys[bank.sample(torch.tensor([0, 1]), 50, torch.Generator().manual_seed(0))]


def test_goes_on_after_a_state_dict_as_if_nothing_had_happened():
    bank, resumed = CategoryMemoryBank(2, 8, [3, 2]), CategoryMemoryBank(2, 8, [3, 2])
    push(bank, [0, 1, 2, 3, 4], [0, 0, 0, 0, 1])

    resumed.load_state_dict(bank.state_dict())
    for each in (bank, resumed):
        push(each, [5, 6, 7], [0, 1, 1])

    for c, axes in enumerate([[2, 3, 5], [6, 7]]):
        assert axes_in(bank, c) == axes_in(resumed, c) == axes
    assert torch.equal(sampled(bank), sampled(resumed))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_checkpoint_holds_what_is_filled(dtype):
    bank, loaded = (CategoryMemoryBank(3, 8, [3, 4, 5], dtype) for _ in range(2))
    assert bank.state_dict()["keys"].shape == (0, 8)
    push(bank, [0, 1, 2, 3, 4, 5], [0, 0, 0, 0, 2, 2])
    state = bank.state_dict()
    assert state["keys"].shape == (3 + 0 + 2, 8)
    assert state["keys"].dtype == getattr(torch, dtype)
    push(loaded, [7] * 12, [0] * 3 + [1] * 4 + [2] * 5)  # loading must replace all of it
    loaded.load_state_dict(state)
    for name, buffer in bank.named_buffers():
        assert torch.equal(buffer, loaded.get_buffer(name)), name


def test_loads_whole_queues_as_they_were_saved_before():
    bank, loaded = (CategoryMemoryBank(2, 8, [3, 4]) for _ in range(2))
    push(bank, [0, 1, 2], [0, 1, 1])
    loaded.load_state_dict(dict(bank.state_dict(), keys=bank.keys))
    assert torch.equal(bank.keys, loaded.keys)


def test_refuses_queues_that_hold_neither_all_nor_what_is_filled():
    bank = CategoryMemoryBank(2, 8, [3, 4])
    with pytest.raises(RuntimeError, match="size mismatch for keys"):
        bank.load_state_dict(dict(bank.state_dict(), keys=torch.zeros(2, 8)))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((3, 8, 3), "with num_classes=3, but this model has num_classes=2"),
        ((2, 4, 3), "with projector.embed_dims=4, but this model has projector.embed_dims=8"),
        ((2, 8, 7), "with queue_size=7, but this model has queue_size=3"),
        ((2, 8, [2, 4]), r"with queue_size=\[2, 4\], but this model has queue_size=3"),
    ],
    ids=["classes", "dimensions", "size", "sizes of the same sum"],
)
def test_refuses_queues_of_another_model_and_says_what_to_do(args, message):
    state = CategoryMemoryBank(*args).state_dict()

    advice = r"restore \S+; .* export them with tools/model_converters/export_segmentor\.py"
    with pytest.raises(ValueError, match=f"{message}.*{advice}"):
        CategoryMemoryBank(2, 8, 3).load_state_dict(state)


class Allocations(TorchDispatchMode):
    """Shapes of the tensors that operators create on the stand-in for a GPU."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        new = isinstance(result, torch.Tensor) and all(result is not arg for arg in args)
        if new and not func.is_view and result.device.type == "meta":
            self.shapes.append(tuple(result.shape))
        return result


@pytest.fixture
def bank_on_gpu():
    """A partly filled bank, whose keys are on PyTorch's device without memory."""
    bank = CategoryMemoryBank(2, 8, [30, 40])
    push(bank, [0, 1, 2], [0, 1, 1])
    bank.keys = bank.keys.to("meta")
    return bank


def test_saving_copies_the_filled_rows_to_the_cpu_and_joins_them_there(bank_on_gpu, monkeypatch):
    # There is nothing to copy on the device without memory.
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: torch.zeros(self.shape).type(self.dtype))

    with Allocations() as on_gpu:
        keys = bank_on_gpu.state_dict()["keys"]

    assert (keys.device.type, keys.shape) == ("cpu", (3, 8))
    assert on_gpu.shapes == []


def test_loading_makes_no_copy_on_the_device(bank_on_gpu):
    saved = CategoryMemoryBank(2, 8, [30, 40])
    push(saved, [0, 1, 2], [0, 1, 1])
    state = saved.state_dict()

    with Allocations() as on_gpu:
        bank_on_gpu.load_state_dict(state)

    assert bank_on_gpu.keys.device.type == "meta"
    assert on_gpu.shapes == []


def test_full_queues_load_their_own_state():
    """A plain checkpoint is completed with the model's own weights, and then loaded."""
    bank = CategoryMemoryBank(2, 8, [1, 2])
    push(bank, [0, 1, 2], [0, 1, 1])
    before = bank.keys.clone()

    bank.load_state_dict(bank.state_dict())

    assert before.any()
    assert torch.equal(bank.keys, before)


def test_loading_does_not_change_what_is_loaded():
    saved, loaded = (CategoryMemoryBank(2, 8, [3, 4]) for _ in range(2))
    push(saved, [0, 1, 2], [0, 1, 1])
    state = saved.state_dict()
    before = state["keys"].clone()

    loaded.load_state_dict(state)
    push(loaded, [7] * 7, [0] * 3 + [1] * 4)

    assert torch.equal(state["keys"], before)
