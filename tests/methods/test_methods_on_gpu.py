"""Training steps of every method on a GPU (`pytest -m gpu`)."""

import io
import traceback
import warnings
from collections import Counter
from copy import deepcopy
from pathlib import Path

import mmseg
import pytest
import torch
from mmengine.optim import OptimWrapper
from mmseg.registry import MODELS

import mmseg_u2pl
from mmseg_u2pl.models.step_random import StepRandom
from other_method import METHODS as FOLDER
from other_method import with_method
from tiny import batch, tiny_segmentor

pytestmark = pytest.mark.gpu
METHODS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "supervised")
EACH_METHOD = pytest.mark.parametrize("method", METHODS)
OURS, THEIRS = (Path(package.__file__).parent for package in (mmseg_u2pl, mmseg))
MOST_WAITS = 30
"""Allowed waits per step of any method, without MMSegmentation's own; their number is reported."""


def tiny(method, device, **changes):
    """A model of a few thousand weights with batch norm, the same for each call."""
    torch.manual_seed(0)
    config = with_method(tiny_segmentor(norm_cfg=dict(type="BN")), method)
    if config.get("contrastive_head") is not None or method.startswith("u2pl"):
        small = dict(num_anchors=6, num_negatives=7, queue_size=50, min_prob=0.0)
        config["contrastive_head"] = {**config.get("contrastive_head", {}), **small}
        config["projector"] = dict(embed_dims=4)
    model = MODELS.build(config | changes)
    model.init_weights()
    return model.to(device).train()


class Training:
    """Steps on one batch.

    Args:
        model: On its device.
        dtype: Of autocast; with float16 gradients are scaled.
    """

    def __init__(self, model, dtype=None):
        self.model, self.dtype = model, dtype
        self.device = next(model.parameters()).device
        weights = [p for p in model.parameters() if p.requires_grad]
        self.wrapper = OptimWrapper(torch.optim.SGD(weights, lr=0.05, momentum=0.9))
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype == torch.float16)

    def loss(self):
        data = self.model.data_preprocessor(batch(2, 2), True)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            return self.model.loss(**data)

    def step(self):
        """Losses of a step, and its gradient."""
        losses = self.loss()
        self.scaler.scale(self.model.parse_losses(losses)[0]).backward()
        self.scaler.unscale_(self.wrapper.optimizer)
        parameters = self.model.named_parameters()
        gradient = {name: p.grad.cpu() for name, p in parameters if p.requires_grad}
        self.scaler.step(self.wrapper.optimizer)
        self.scaler.update()
        self.wrapper.zero_grad()
        self.model.after_optimizer_step()
        return {name: loss.item() for name, loss in losses.items() if "loss" in name}, gradient


def draw_as_on_the_cpu(monkeypatch):
    """The same seed gives other numbers on a GPU, and so other anchors and negatives."""
    rand, begin = torch.rand, StepRandom.next

    def draw(*size, device=None, **options):
        return rand(*size, **options).to(device or "cpu")

    monkeypatch.setattr(torch, "rand", draw)
    monkeypatch.setattr(StepRandom, "next", lambda self, device: begin(self, "cpu"))


def state_of(model):
    return {name: value.cpu().clone() for name, value in model.state_dict().items()}


@EACH_METHOD
def test_losses_gradients_and_state_are_those_of_the_cpu(method, device, monkeypatch):
    draw_as_on_the_cpu(monkeypatch)
    there, here = (Training(tiny(method, place)) for place in (device, "cpu"))

    for _ in range(3):
        (losses, gradient), (expected, expected_gradient) = there.step(), here.step()

        assert losses == pytest.approx(expected, rel=1e-3, abs=1e-5)
        for name, values in expected_gradient.items():
            torch.testing.assert_close(gradient[name], values, rtol=1e-2, atol=1e-4)
    state, expected = state_of(there.model), state_of(here.model)
    for name, values in expected.items():
        torch.testing.assert_close(state[name], values, rtol=1e-2, atol=1e-3)


@EACH_METHOD
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mixed_precision_gives_about_the_same(method, dtype, device, monkeypatch):
    draw_as_on_the_cpu(monkeypatch)
    # A rounded probability makes a pixel an anchor or none; tests of the head see to contrast.
    plain = dict(contra_weight=0.0) if method.startswith("u2pl") else {}
    mixed, exact = (Training(tiny(method, device, **plain), kind) for kind in (dtype, None))
    before = state_of(mixed.model)

    losses, gradient = mixed.step()
    expected, expected_gradient = exact.step()

    assert losses == pytest.approx(expected, rel=0.1, abs=0.02)
    both = [torch.cat([v.flatten() for v in g.values()]) for g in (gradient, expected_gradient)]
    assert torch.cosine_similarity(*both, dim=0) > 0.97
    after = state_of(mixed.model)
    assert all(values.isfinite().all() for values in after.values())
    assert any(not torch.equal(after[name], before[name]) for name in gradient)


@EACH_METHOD
def test_deterministic_steps_are_repeatable_bit_for_bit(method, device, monkeypatch):
    # As randomness.deterministic=True of a config does.
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    torch.use_deterministic_algorithms(True)
    try:
        runs = []
        for _ in range(2):
            training = Training(tiny(method, device))
            losses = [training.step()[0] for _ in range(3)]
            runs.append((losses, state_of(training.model)))
    finally:
        torch.use_deterministic_algorithms(False)
    (losses, state), (others, other) = runs
    assert losses == others
    assert [name for name in state if not torch.equal(state[name], other[name])] == []


@EACH_METHOD
def test_how_often_a_step_waits_for_the_device(method, device, monkeypatch, record_property):
    if device.type != "cuda":
        pytest.skip("only CUDA tells")
    training = Training(tiny(method, device))
    training.step()
    waits = Counter()

    def count(message, *_, **__):
        if "synchroniz" in str(message):
            frames = [Path(frame.filename) for frame in reversed(traceback.extract_stack())]
            known = (f for f in frames if f.is_relative_to(OURS) or f.is_relative_to(THEIRS))
            inner = next(known, Path("elsewhere"))
            waits["theirs" if inner.is_relative_to(THEIRS) else inner.name] += 1

    data = training.model.data_preprocessor(batch(2, 2), True)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = count
        torch.cuda.set_sync_debug_mode("warn")
        try:
            losses = training.model.loss(**data)
            training.model.parse_losses(losses)[0].backward()
            training.model.after_optimizer_step()
        finally:
            torch.cuda.set_sync_debug_mode("default")

    record_property("waits", dict(waits))
    assert waits, "set_sync_debug_mode has reported nothing"
    assert sum(waits.values()) - waits["theirs"] <= MOST_WAITS, waits


@pytest.mark.parametrize("method", ["u2pl_best", "ael", "cps"])
def test_a_checkpoint_goes_to_the_cpu_and_back(method, device, monkeypatch):
    draw_as_on_the_cpu(monkeypatch)
    training = Training(tiny(method, device))
    training.step()
    file = io.BytesIO()
    torch.save(training.model.state_dict(), file)
    file.seek(0)

    here = tiny(method, "cpu")
    here.load_state_dict(torch.load(file, map_location="cpu"))
    for name, values in state_of(training.model).items():
        assert torch.equal(here.state_dict()[name], values), name
    back = tiny(method, device)
    back.load_state_dict(here.state_dict())

    expected = Training(deepcopy(training.model)).step()[0]
    assert Training(here).step()[0] == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert Training(back).step()[0] == pytest.approx(expected, rel=1e-3, abs=1e-5)


@EACH_METHOD
def test_channels_last_changes_nothing(method, device, monkeypatch):
    draw_as_on_the_cpu(monkeypatch)
    expected = Training(tiny(method, device)).step()[0]

    model = tiny(method, device).to(memory_format=torch.channels_last)

    assert Training(model).step()[0] == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_compiled_backbones_and_heads_change_nothing(device, monkeypatch):
    draw_as_on_the_cpu(monkeypatch)
    expected = Training(tiny("u2pl", device)).step()[0]
    model = tiny("u2pl", device)
    backend = "inductor" if device.type == "cuda" else "eager"
    for network in (model.student, model.teacher.module):
        network.segmentor.backbone.compile(backend=backend)
        network.segmentor.decode_head.convs.compile(backend=backend)

    assert Training(model).step()[0] == pytest.approx(expected, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("fill", [0.0, 0.5, 1.0])
def test_saving_and_loading_queues_takes_no_memory_of_the_gpu(fill, device, record_property):
    if device.type != "cuda":
        pytest.skip("memory of the GPU")
    model = tiny("u2pl", device, contrastive_head=dict(queue_size=200_000))
    bank = model.contrastive_head.bank
    bank.fill.copy_((fill * bank.size).long())
    taken = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)

    saved = {name: value.cpu() for name, value in bank.state_dict().items()}
    bank.load_state_dict(saved)

    extra = torch.cuda.max_memory_allocated(device) - taken
    record_property("extra_bytes", extra)
    assert extra < bank.keys.nbytes / 10
