import torch

from mmseg_u2pl.models.saved_integer import SavedInteger


def test_value_is_set_and_saved():
    counter, loaded = SavedInteger(5), SavedInteger()
    counter.value += 2

    loaded.load_state_dict(counter.state_dict())

    assert counter.value == loaded.value == loaded.saved.item() == 7
    loaded.value += 1
    assert (loaded.value, counter.value) == (8, 7)
    assert loaded.state_dict() == {"saved": torch.tensor(8)}


def test_holds_large_seeds():
    seed = 2**63 - 1

    loaded = SavedInteger()
    loaded.load_state_dict(SavedInteger(seed).state_dict())

    assert loaded.value == seed
