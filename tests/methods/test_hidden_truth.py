"""Accuracy of pseudo-labels whose ground truth is hidden."""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from mmseg_u2pl.models.batches import HIDDEN_TRUTH
from seen import clean_teacher, distinct_teacher, step
from tiny import NUM_CLASSES, SIZE, batch, tiny_segmentor, tiny_u2pl


def with_hidden_truth(raw, height):
    generator = torch.Generator().manual_seed(3)
    truth = torch.randint(0, NUM_CLASSES, (3, 1, height, SIZE), generator=generator)
    truth[:, :, :2] = 255
    for sample, label in zip(raw["data_samples"][1:], truth, strict=True):
        setattr(sample, HIDDEN_TRUTH, PixelData(data=label))
    return truth[:, 0]


@pytest.mark.parametrize("height", [SIZE, SIZE - 4])
def test_accuracy_of_reliable_pseudo_labels_where_the_truth_is_hidden(height):
    model = distinct_teacher(tiny_u2pl(mixing="none", alpha_0=0.3))
    raw = batch(1, 3, size=(height, SIZE))
    truth = with_hidden_truth(raw, height)
    _, prediction = clean_teacher(model, batch(1, 3, size=(height, SIZE)))

    accuracy = step(model, raw)["pseudo_label_accuracy"].item()

    entropy, label = (
        values[:, :height].numpy() for values in (prediction.entropy, prediction.label)
    )
    scored = (entropy <= np.percentile(entropy.astype(np.float64), 70)) & (truth.numpy() != 255)
    expected = (label == truth.numpy())[scored].mean()
    assert 0 < expected < 1
    assert accuracy == pytest.approx(expected, abs=1e-3)


def test_hidden_truth_does_not_change_the_training():
    losses, again = step(tiny_u2pl()), batch(1, 3)
    with_hidden_truth(again, SIZE)
    more = step(tiny_u2pl(), again)
    assert set(more) - set(losses) == {"pseudo_label_accuracy"}
    for name, value in losses.items():
        assert torch.equal(value, more[name]), name


def test_hidden_truth_is_mixed_as_the_images_are():
    model = distinct_teacher(tiny_u2pl())
    raw = batch(1, 3)
    _, prediction = clean_teacher(model, batch(1, 3))
    for sample, label in zip(raw["data_samples"][1:], prediction.label, strict=True):
        setattr(sample, HIDDEN_TRUTH, PixelData(data=label[None]))
    assert step(model, raw)["pseudo_label_accuracy"] == 1.0


def test_truth_of_some_images_gives_no_accuracy():
    raw = batch(1, 3)
    with_hidden_truth(raw, SIZE)
    raw["data_samples"][2].pop(HIDDEN_TRUTH)
    assert "pseudo_label_accuracy" not in step(tiny_u2pl(), raw)


def test_no_known_truth():
    raw = batch(1, 3)
    with_hidden_truth(raw, SIZE).fill_(255)
    assert step(tiny_u2pl(), raw)["pseudo_label_accuracy"] == 0


def test_unknown_classes_are_not_scored_whatever_the_ignore_index():
    accuracies = []
    for ignore_index in (255, 254):
        segmentor = tiny_segmentor(ignore_index=ignore_index)
        model = distinct_teacher(tiny_u2pl(segmentor, mixing="none"))
        raw = batch(1, 3)
        with_hidden_truth(raw, SIZE)
        accuracies.append(step(model, raw)["pseudo_label_accuracy"].item())
    assert accuracies[0] == accuracies[1]
