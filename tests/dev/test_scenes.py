"""The scenes of the built-in data set."""

import ast
from pathlib import Path

import numpy as np
import pytest

import scenes as builtin_scenes
from scenes import CLASSES, render_scene, scene
from scenes import dataset as builtin

NUM_OBJECT_CLASSES = len(CLASSES) - 1


@pytest.fixture(scope="module")
def scenes():
    return [render_scene(np.random.default_rng([7, i]), 64) for i in range(80)]


def test_scene_has_promised_shapes_and_types():
    image, mask = render_scene(np.random.default_rng(0), 72)
    assert (image.shape, image.dtype) == ((72, 72, 3), np.uint8)
    assert (mask.shape, mask.dtype) == ((72, 72), np.uint8)


def test_scene_depends_on_the_seed_alone():
    first, second, other = (render_scene(np.random.default_rng(s), 64) for s in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[1], other[1])


def test_scene_shows_three_to_six_classes_on_background(scenes):
    for _, mask in scenes:
        present = np.unique(mask)
        assert present[0] == 0
        assert 3 <= len(present) - 1 <= 6
        assert present[-1] < len(CLASSES)


def test_object_classes_are_about_equally_frequent(scenes):
    counts = np.array([np.bincount(m.ravel(), minlength=len(CLASSES)) for _, m in scenes])
    in_images = (counts > 0).mean(axis=0)[1:]
    pixels = counts.sum(axis=0)[1:]
    # 4.5 of 7 classes are expected in an image
    assert np.all(np.abs(in_images - 4.5 / NUM_OBJECT_CLASSES) < 0.2)
    assert pixels.max() / pixels.min() < 2.5


def test_color_alone_does_not_tell_the_class(scenes):
    def objects(part):
        images, masks = (np.stack(x) for x in zip(*part, strict=True))
        return images[masks > 0] // 32, masks[masks > 0]

    colors, labels = objects(scenes[:40])
    histogram = np.ones((8, 8, 8, len(CLASSES)))
    np.add.at(histogram, (*colors.T, labels), 1)
    histogram /= histogram.sum(axis=(0, 1, 2))
    histogram[..., 0] = 0
    colors, labels = objects(scenes[40:])
    guessed = histogram[tuple(colors.T)].argmax(axis=-1)
    assert (guessed == labels).mean() < 0.4


def test_objects_and_background_are_textured(scenes):
    for image, mask in scenes[:20]:
        for label in np.unique(mask):
            assert image[mask == label].std(axis=0).mean() > 4


def test_mask_takes_the_class_that_covers_most_of_a_pixel():
    labels = np.array(
        [[0, 0, 2, 2], [0, 3, 2, 0], [5, 5, 1, 1], [5, 5, 1, 7]],
        np.uint8,
    )
    expected = [[0, 2], [5, 1]]
    assert scene._main_class(labels, 2).tolist() == expected


def test_scene_too_small():
    with pytest.raises(ValueError, match=r"size=63 is too small.*at least 64"):
        render_scene(np.random.default_rng(0), 63)


def test_rendering_needs_numpy_and_opencv_only():
    imported = set()
    files = set(Path(builtin_scenes.__file__).parent.glob("*.py")) - {Path(builtin.__file__)}
    for node in (node for file in files for node in ast.walk(ast.parse(file.read_text()))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module)
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
    ours = {name for name in imported if name.startswith("scenes")}
    assert ours == {f"scenes.{name}" for name in ("materials", "objects", "scene", "sprites")}
    imported = {name.split(".")[0] for name in imported - ours}
    assert imported == {"__future__", "collections", "dataclasses", "typing", "cv2", "numpy"}
