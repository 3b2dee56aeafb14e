"""Records the inputs of a model's parts in a step."""

import torch

from mmseg_u2pl.ops import (
    predict_pixels,
    resize_logits,
)
from tiny import SIZE, batch, tiny_u2pl


def distinct_teacher(model):
    """A teacher whose predictions differ between pixels."""
    generator = torch.Generator().manual_seed(9)
    for parameter in model.teacher.parameters():
        parameter.data.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def step(model, raw=None):
    data = model.data_preprocessor(raw or batch(1, 3), True)
    return model(**data, mode="loss")


def inputs_of(module, monkeypatch):
    """Record the keyword or first positional arguments of every call of a module's forward."""
    calls, forward = [], module.forward

    def recording(*args, **kwargs):
        calls.append(kwargs or args[0].clone())
        return forward(*args, **kwargs)

    monkeypatch.setattr(module, "forward", recording)
    return calls


def head_inputs(monkeypatch, **options):
    """Inputs of the contrastive head in a step at half of the training."""
    model = distinct_teacher(tiny_u2pl(**options))
    model.progress = 0.5
    calls = inputs_of(model.contrastive_head, monkeypatch)
    losses = step(model)
    return calls[0], losses


def clean_teacher(model, raw):
    """Labels and entropies of the unlabeled images from the teacher in evaluation mode."""
    images = model.data_preprocessor(raw, True)["inputs"][1:]
    logits = model.teacher.predict(images).logits
    return images, predict_pixels(resize_logits(logits, (SIZE, SIZE)))


def losses_of(model, raw):
    return model(**model.data_preprocessor(raw, True), mode="loss")


def named_gradients(model, loss):
    model.zero_grad()
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name for name, gradient in gradients.items() if gradient.abs().sum() > 0}
