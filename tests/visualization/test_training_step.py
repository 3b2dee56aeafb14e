import numpy as np
import pytest
import torch
from mmseg.registry import MODELS

from every_method import METHODS, method
from mmseg_u2pl.visualization.training_step import (
    IGNORED,
    RELIABLE,
    UNRELIABLE,
    paint_confidence,
    paint_entropy,
    plot_step,
    render,
    restore_images,
)
from tiny import SIZE, batch, tiny_u2pl

CLASSES = ("zero", "one", "two", "three", "four")
PALETTE = [(0, 0, 0), (250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]


def observed(model, data):
    views = []
    model.observer = views.append
    losses = model(**model.data_preprocessor(data, training=True), mode="loss")
    (view,) = views
    return view, losses


@pytest.mark.parametrize("bgr_to_rgb", [False, True])
@pytest.mark.parametrize("normalized", [False, True])
def test_restored_images_are_those_that_were_loaded_in_rgb(bgr_to_rgb, normalized):
    options = dict(mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 40.0]) if normalized else {}
    preprocessor = MODELS.build(
        dict(type="SegDataPreProcessor", bgr_to_rgb=bgr_to_rgb, size=(5, 4), **options)
    )
    data = batch(1, 1, (5, 4))
    expected = [image.flip(0).permute(1, 2, 0).numpy() for image in data["inputs"]]
    images = preprocessor(data, training=True)["inputs"]
    np.testing.assert_array_equal(restore_images(images, preprocessor), expected)


@pytest.mark.parametrize("channels", [1, 4])
def test_images_without_three_colors_are_gray(channels):
    preprocessor = MODELS.build(dict(type="SegDataPreProcessor"))
    pictures = restore_images(torch.full((2, channels, 4, 5), 90.0), preprocessor)
    assert pictures.shape == (2, 4, 5, 3)
    assert (pictures == 90).all()


def test_the_student_s_input_is_shown_with_its_colors_changed(monkeypatch):
    model = tiny_u2pl(photometric={}, mixing="none")
    fed, forward = [], model.student.forward
    monkeypatch.setattr(
        model.student,
        "forward",
        lambda images, *args: (fed.append(images), forward(images, *args))[1],
    )
    view, _ = observed(model, batch(num_labeled=1, num_unlabeled=3))
    assert view.strong.images.equal(fed[0][1:])
    assert not view.strong.images.equal(view.unlabeled.images)


def test_entropy_is_black_at_zero_and_brightest_at_its_maximum():
    painted = paint_entropy(np.array([[0.0, 0.5 * np.log(7), np.log(7)]]), 7)
    brightness = painted.astype(int).sum(-1)[0]
    assert painted.dtype == np.uint8
    assert brightness[0] < 10 < brightness[1] < 600 < brightness[2]


def test_confidence_is_black_at_zero_and_brightest_at_one():
    brightness = paint_confidence(np.array([[0.0, 0.5, 1.0]])).astype(int).sum(-1)[0]
    assert brightness[0] < 10 < brightness[1] < 600 < brightness[2]


@pytest.mark.parametrize("name", METHODS)
def test_columns_name_the_networks_and_what_decides(name):
    model = method(name)
    view, _ = observed(model, batch(num_labeled=1, num_unlabeled=2))
    figures = plot_step(view, model.data_preprocessor, CLASSES, PALETTE, num_images=1)
    columns = [axis.get_title() for axis in figures["unlabeled"].axes]
    labeler, learner = {"UniMatch": ("student", "student"), "CPS": ("second", "first")}.get(
        name, ("teacher", "student")
    )
    decides = "entropy" if name in ("MeanTeacher", "U2PL", "U2PLReference", "CPS") else "confidence"
    assert columns == [
        f"unlabeled image\n({labeler})",
        f"mixed image\n({learner})",
        "reliable\npseudo-labels",
        "kind of pixel",
        f"{decides}\n({labeler})",
        f"all labels\n({labeler})",
        f"prediction\n({learner})",
    ]
    assert figures["labeled"].axes[-1].get_title() == f"prediction\n({learner})"
    shown = np.asarray(figures["unlabeled"].axes[4].images[0].get_array())
    values = getattr(view.pseudo, decides)[0].numpy()
    paint = paint_confidence if decides == "confidence" else lambda e: paint_entropy(e, 5)
    np.testing.assert_array_equal(shown, paint(values))


def test_an_observed_step_is_the_same_step():
    data = batch()
    plain, watched = tiny_u2pl(), tiny_u2pl()
    view, losses = observed(watched, data)
    assert not view.logits.requires_grad
    expected = plain(**plain.data_preprocessor(data, training=True), mode="loss")
    assert {key: value.item() for key, value in losses.items() if "loss" in key} == {
        key: value.item() for key, value in expected.items() if "loss" in key
    }
    for name, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name


def test_a_supervised_step_shows_nothing():
    model = tiny_u2pl()
    model.sup_only = True
    model.observer = pytest.fail
    model(**model.data_preprocessor(batch(), training=True), mode="loss")


def test_pictures_show_what_the_step_saw_and_said():
    model = tiny_u2pl(mixing="cutout")
    view, _ = observed(model, batch(num_labeled=3, num_unlabeled=2))
    figures = plot_step(view, model.data_preprocessor, CLASSES, PALETTE, num_images=2)
    columns = {axis.get_title(): i for i, axis in enumerate(figures["unlabeled"].axes[:7])}

    def picture(title, row=0):
        axis = figures["unlabeled"].axes[row * len(columns) + columns[title]]
        return np.asarray(axis.images[0].get_array())

    for row in range(2):
        kinds = picture("kind of pixel", row)
        for mask, color in (
            (view.split.reliable[row], RELIABLE),
            (view.split.unreliable[row], UNRELIABLE),
            (~view.split.valid[row], IGNORED),
        ):
            assert mask.any()
            np.testing.assert_array_equal((kinds == color).all(-1), mask.numpy())
    predicted = picture("all labels\n(teacher)", 1)
    np.testing.assert_array_equal(predicted, np.array(PALETTE)[view.pseudo.label[1]])
    erased = (view.strong.images[0] != view.unlabeled.images[0]).any(0).numpy()
    clean, mixed = picture("unlabeled image\n(teacher)"), picture("mixed image\n(student)")
    np.testing.assert_array_equal((clean != mixed).any(-1), erased)
    # Two of three labeled images are drawn, in three columns; of one or two, all of them.
    assert len(figures["labeled"].axes) == 6
    view, _ = observed(model, batch(num_labeled=1, num_unlabeled=2))
    figures = plot_step(view, model.data_preprocessor, CLASSES, PALETTE, num_images=4)
    assert [len(figure.axes) for figure in figures.values()] == [3, 14]


def test_pixels_without_a_label_are_gray_and_rendered_pictures_are_rgb():
    model = tiny_u2pl()
    data = batch()
    data["data_samples"][0].gt_sem_seg.data[:, :10] = 255
    view, _ = observed(model, data)
    figures = plot_step(view, model.data_preprocessor, CLASSES, PALETTE, num_images=1)
    truth = np.asarray(figures["labeled"].axes[1].images[0].get_array())
    assert (truth[:10] == truth[0, 0]).all()
    assert not (truth[10:] == truth[0, 0]).all(-1).any()
    image = render(figures["labeled"])
    assert image.dtype == np.uint8
    assert image.shape[1:] == (3 * 260, 3)
    assert truth.shape[0] == SIZE
