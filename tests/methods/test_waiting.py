"""How often a step makes the host wait for the device, counted without one."""

import traceback
from collections import Counter
from pathlib import Path

import mmseg
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import mmseg_u2pl
from mmseg_u2pl.models import CategoryMemoryBank
from tiny import batch, tiny_u2pl

OURS, THEIRS = (Path(package.__file__).parent for package in (mmseg_u2pl, mmseg))
ON_THE_HOST = "mixing.py"
"""Draws on the CPU, whatever the device of the model."""


class Waits(TorchDispatchMode):
    """Counts our operations whose result, or its shape, the host must know, by file."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.files = Counter()
        tolist = torch.Tensor.tolist

        def counted(values):  # tolist() reads memory, without an operation
            self.note()
            return tolist(values)

        monkeypatch.setattr(torch.Tensor, "tolist", counted)

    def note(self):
        frames = [Path(frame.filename) for frame in reversed(traceback.extract_stack())]
        inner = next(f for f in frames if f.is_relative_to(OURS) or f.is_relative_to(THEIRS))
        if inner.is_relative_to(OURS):
            self.files[inner.name] += 1

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        waits = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(func.tags)
        if func in (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default):
            waits = any(i is not None and i.dtype == torch.bool for i in args[1])
        if waits:
            self.note()
        return func(*args, **(kwargs or {}))


def test_a_step_waits_for_the_device_as_often_as_the_page_says(monkeypatch):
    write_at_once = CategoryMemoryBank._write_at_once  # as on a GPU
    monkeypatch.setattr(CategoryMemoryBank, "_write_by_class", write_at_once)
    model = tiny_u2pl()
    data = model.data_preprocessor(batch(), True)
    model.loss(**data)

    with Waits(monkeypatch) as waits:
        losses = model.loss(**data)
        model.parse_losses(losses)[0].backward()
        model.after_optimizer_step()

    assert losses["contra.loss_nce"] > 0
    del waits.files[ON_THE_HOST]
    assert waits.files == {
        "reliability.py": 1,  # entropies of the valid pixels
        "selection.py": 2,  # negatives at labeled pixels, unreliable pixels
        "contrastive_head.py": 1,  # classes to contrast
    }
