"""Independent version of the losses of confident pixels, pixel by pixel in float64."""

import numpy as np
import torch
import torch.nn.functional as F

import oracles
from tiny import SIZE, batch


class Slow:
    """Label, confidence, image and padding of the weak view of some images."""

    def __init__(self, logits, images, valid):
        prob = oracles.probabilities(logits)
        self.label = oracles.most_probable(prob)
        self.confidence = prob.max(axis=1)
        self.images, self.valid = np.asarray(images), np.asarray(valid)

    def mixed(self, plan):
        """The same after mixing."""
        view = object.__new__(Slow)
        for name, values in vars(self).items():
            setattr(view, name, slow_mix(values, plan))
        return view

    def kept(self, tau):
        return self.valid & (self.confidence >= tau)

    def loss(self, logits, tau):
        """Cross-entropy of the pixels that are confident, over the number that are not padding."""
        return oracles.thresholded_loss(logits, self.label, self.kept(tau), self.valid)


def padded_batch(num_labeled, num_unlabeled):
    """Raw batch with unlabeled images padded at the right or the bottom, and their masks."""
    raw, valid = batch(num_labeled, 0), torch.zeros(num_unlabeled, SIZE, SIZE, dtype=torch.bool)
    for image in range(num_unlabeled):
        height, width = (SIZE, 20) if image % 2 == 0 else (12, SIZE)
        part = batch(0, 1, size=(height, width), seed=image + 1)
        raw = {key: [*raw[key], *part[key]] for key in raw}
        valid[image, :height, :width] = True
    return raw, valid


def slow_mix(values, plan):
    """A map with the pixels of its partner where the plan says so."""
    mixed = values.copy()
    for image, row, col in oracles.places_of(values):
        if plan.mask[image, row, col]:
            partner = int(plan.partner[image])
            source = values.shape[-1] - 1 - col if plan.mirrored else col
            mixed[image][..., row, col] = values[partner][..., row, source]
    return mixed


def full_size_logits(segmentor, images, change=None):
    """Logits of a plain segmentor, optionally of changed feature maps."""
    with torch.no_grad():
        features = segmentor.extract_feat(torch.as_tensor(images))
        features = [change(level) for level in features] if change else features
        logits = segmentor.decode_head.forward(features)
    return F.interpolate(logits, (SIZE, SIZE), mode="bilinear").double().numpy()


def median_confidence(view):
    """A threshold near the median of valid pixels, where rounding does not matter."""
    values = np.sort(view.confidence[view.valid])
    near = values[2 * len(values) // 5 : 3 * len(values) // 5]
    low = np.diff(near).argmax()  # where the widest gap begins
    return float(near[low : low + 2].mean())


def recorded_plans(model, monkeypatch):
    """Record the plans that the model draws."""
    plans, draw = [], model.mix_plan

    def recording(*args):
        plans.append(draw(*args))
        return plans[-1]

    monkeypatch.setattr(model, "mix_plan", recording)
    return plans


def images_in_passes(segmentor):
    """Record the number of images in each pass of a backbone."""
    passes = []
    segmentor.backbone.register_forward_pre_hook(lambda _, args: passes.append(len(args[0])))
    return passes
