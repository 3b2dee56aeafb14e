from collections import Counter

import numpy as np
import pytest
from PIL import Image

from mmseg_u2pl.visualization import (
    UNRELIABLE_COLOR,
    paint_labels,
    paint_pseudo_labels,
    plot_comparison,
)

PALETTE = [(0, 0, 0), (200, 100, 50), (10, 20, 30)]


def plain(color, num=2, height=10, width=20):
    return np.full((num, height, width, 3), color, dtype=np.uint8)


def test_paint_labels_takes_each_class_s_color():
    painted = paint_labels(np.array([[[0, 1], [2, 1]]]), PALETTE)
    expected = [[[[0, 0, 0], [200, 100, 50]], [[10, 20, 30], [200, 100, 50]]]]
    assert painted.dtype == np.uint8
    np.testing.assert_array_equal(painted, expected)


def test_pseudo_labels_are_blended_and_unreliable_pixels_alone_are_gray():
    image = np.array([[[100, 100, 100], [100, 200, 0]], [[1, 2, 3], [255, 255, 255]]], np.uint8)
    label = np.array([[1, 0], [2, 1]])
    unreliable = np.array([[False, False], [True, False]])
    painted = paint_pseudo_labels(image, label, unreliable, PALETTE)
    # 0.6 * color + 0.4 * image
    expected = [[[160, 100, 70], [40, 80, 0]], [UNRELIABLE_COLOR, [222, 162, 132]]]
    assert painted.dtype == np.uint8
    np.testing.assert_array_equal(painted, expected)
    np.testing.assert_array_equal((painted == UNRELIABLE_COLOR).all(-1), unreliable)


def test_a_row_is_a_scene_and_a_column_a_title():
    columns = {"a": plain((9, 0, 0), 3), "b": plain((0, 9, 0), 3)}
    columns["b"][2] = 77
    figure = plot_comparison(columns, {"cat": (255, 0, 0), "dog": (0, 0, 255)})
    grid = np.reshape(figure.axes, (3, 2))
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "", "", "", ""]
    for col, pictures in enumerate(columns.values()):
        for row, picture in enumerate(pictures):
            np.testing.assert_array_equal(grid[row, col].images[0].get_array(), picture)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["cat", "dog"]
    assert [patch.get_facecolor() for patch in legend.get_patches()] == [(1, 0, 0, 1), (0, 0, 1, 1)]


def test_legend_has_rows_of_like_length():
    columns = {title: plain((1, 2, 3), 1) for title in "abcde"}  # room for 8 entries
    figure = plot_comparison(columns, {f"{number} elephant": (1, 2, 3) for number in range(9)})
    figure.draw_without_rendering()
    tops = [text.get_window_extent().y1 for text in figure.legends[0].get_texts()]
    assert sorted(Counter(np.round(tops)).values()) == [4, 5]


def test_saved_picture_is_260_pixels_a_column_and_its_panels_fill_it(tmp_path):
    colors = {"a": (250, 10, 10), "b": (10, 250, 10)}
    columns = {f"{title}\nsecond line": plain(color, 3) for title, color in colors.items()}
    plot_comparison(columns, {"cat": (1, 2, 3)}).savefig(tmp_path / "picture.png")
    saved = np.asarray(Image.open(tmp_path / "picture.png").convert("RGB"))
    # 3 panels of 260 x 130 pixels, 55 for the titles, 40 for the legend.
    assert saved.shape == (3 * 130 + 95, 2 * 260, 3)
    for color in colors.values():
        area = (saved == color).all(-1).sum()
        assert 0.85 * 3 * 260 * 130 < area <= 3 * 260 * 130


def test_columns_of_different_shapes_are_refused():
    with pytest.raises(
        ValueError, match=r"one shape.*'a': \(2, 10, 20, 3\).*'b': \(1, 10, 20, 3\)"
    ):
        plot_comparison({"a": plain(0, 2), "b": plain(0, 1)}, {})
