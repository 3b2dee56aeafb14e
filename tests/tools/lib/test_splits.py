from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl_tools.splits import (
    count_labeled,
    draw_order,
    folder_name,
    missing_classes,
    num_enough,
    parse_size,
    write_splits,
)


class TestSize:
    @pytest.mark.parametrize(
        ("text", "size", "folder"),
        [
            ("1/16", Fraction(1, 16), "1of16"),
            ("0.0625", Fraction(1, 16), "1of16"),
            ("2/32", Fraction(1, 16), "1of16"),
            ("0.3", Fraction(3, 10), "3of10"),
            ("30", Fraction(30), "30"),
            ("1", Fraction(1), "1"),
        ],
    )
    def test_good(self, text, size, folder):
        assert parse_size(text) == size
        assert folder_name(size) == folder

    @pytest.mark.parametrize("text", ["0", "-3", "3/2", "1.5", "1/0", "many", ""])
    def test_bad(self, text):
        with pytest.raises(ValueError, match="is neither a share, such as 1/16, nor a number"):
            parse_size(text)

    @pytest.mark.parametrize(
        ("size", "total", "count"),
        [
            # Cityscapes and VOC with SBD, as published.
            ("1/16", 2975, 186),
            ("1/8", 2975, 372),
            ("1/4", 2975, 744),
            ("1/2", 2975, 1488),
            ("1/30", 2975, 100),
            ("1/16", 10582, 662),
            ("1/8", 10582, 1323),
            ("1/4", 10582, 2646),
            ("1/2", 10582, 5291),
            ("30", 31, 30),
        ],
    )
    def test_count(self, size, total, count):
        assert count_labeled(parse_size(size), total) == count

    @pytest.mark.parametrize("size", ["31", "32", "0.99"])
    def test_none_left(self, size):
        with pytest.raises(DataError, match=r"3[12] labeled images leave none of 31 unlabeled"):
            count_labeled(parse_size(size), 31)


PRESENCE = st.tuples(st.integers(1, 12), st.integers(0, 6)).flatmap(
    lambda shape: arrays(np.bool_, shape, elements=st.booleans())
)


class TestDraw:
    @given(PRESENCE, st.integers(0, 5))
    def test_every_image_once_and_all_classes_once_enough_are_asked_for(self, shows, seed):
        enough = max(num_enough(shows), 1)
        order = draw_order(shows, enough, seed)
        assert sorted(order.tolist()) == list(range(len(shows)))
        for count in range(enough, len(shows) + 1):
            assert missing_classes(shows, order[:count]) == []

    @given(PRESENCE)
    def test_enough_is_close_to_the_least(self, shows):
        """Compared with all subsets, greedy choices need at most one image more at this size."""
        occurring = shows.any(axis=0)
        least = next(
            count
            for count in range(len(shows) + 1)
            for subset in combinations(range(len(shows)), count)
            if (shows[list(subset)].any(axis=0) == occurring).all()
        )
        assert least <= num_enough(shows) <= least + 1

    def test_the_seed_alone_decides(self):
        shows = np.random.default_rng(0).random((50, 5)) < 0.5
        first = draw_order(shows, 10, seed=1)
        assert (draw_order(shows, 10, seed=1) == first).all()
        assert set(draw_order(shows, 10, seed=2)[:10]) != set(first[:10])

    def test_without_classes_it_is_a_permutation(self):
        shows = np.zeros((8, 0), bool)
        expected = np.random.default_rng(3).permutation(8)
        assert (draw_order(shows, 2, seed=3) == expected).all()

    def test_images_are_drawn_alike_often(self):
        """With ten images that show both classes, each is labeled in a tenth of the draws."""
        shows = np.ones((10, 2), bool)
        first = [draw_order(shows, 1, seed)[0] for seed in range(1000)]
        assert np.bincount(first, minlength=10).min() > 70

    def test_a_rare_class_leaves_the_rest_to_chance(self):
        """Image 0 alone shows class 1: it is always labeled, the second one is any other."""
        shows = np.zeros((6, 2), bool)
        shows[:, 0] = True
        shows[0, 1] = True
        seconds = set()
        for seed in range(100):
            labeled = set(draw_order(shows, 2, seed)[:2].tolist())
            assert 0 in labeled
            seconds |= labeled - {0}
        assert seconds == {1, 2, 3, 4, 5}

    def test_few_images_that_show_much_are_taken_if_they_must(self):
        """Images 0 and 1 show three classes each, the others one; two images are asked for."""
        shows = np.zeros((8, 6), bool)
        shows[0, :3] = shows[1, 3:] = True
        shows[np.arange(2, 8), np.arange(6)] = True
        assert num_enough(shows) == 2
        for seed in range(20):
            assert set(draw_order(shows, 2, seed)[:2].tolist()) == {0, 1}

    def test_too_few_images_show_the_rarest_classes(self):
        """Five images show class 0, one class 1, two class 2; none shows two."""
        label = np.array([0, 0, 1, 0, 2, 0, 2, 0])
        shows = label[:, None] == np.arange(3)
        for seed in range(10):
            order = draw_order(shows, 2, seed)
            assert label[order[:3]].tolist() == [1, 2, 0]
            assert missing_classes(shows, order[:2]) == [0]
        assert num_enough(shows) == 3

    def test_a_class_that_nothing_shows_is_not_missing(self):
        shows = np.array([[True, False], [True, False]])
        assert missing_classes(shows, np.array([0])) == []


class TestWrite:
    def test_lists(self, tmp_path):
        write_splits({tmp_path / "1of2/seed0": (["a", "b/c"], ["d"])}, overwrite=False)
        assert (tmp_path / "1of2/seed0/labeled.txt").read_text() == "a\nb/c\n"
        assert (tmp_path / "1of2/seed0/unlabeled.txt").read_text() == "d\n"

    def test_no_list_is_overwritten_unless_asked(self, tmp_path):
        write_splits({tmp_path / "b": (["a"], ["d"])}, overwrite=False)
        both = {tmp_path / "a": (["x"], ["y"]), tmp_path / "b": (["x"], ["y"])}
        match = r"2 lists already exist, such as .*b/labeled\.txt\. .* --overwrite"
        with pytest.raises(DataError, match=match):
            write_splits(both, overwrite=False)
        assert not (tmp_path / "a").exists()
        assert (tmp_path / "b/labeled.txt").read_text() == "a\n"
        write_splits(both, overwrite=True)
        assert (tmp_path / "b/labeled.txt").read_text() == "x\n"


def test_enough_images_are_counted_by_what_they_add():
    shows = np.zeros((5, 5), bool)
    shows[0, :3] = shows[1, 1:4] = shows[2, 3:] = shows[3:, 4] = True
    assert num_enough(shows) == 2


def test_images_that_are_just_enough_are_left_to_chance():
    """Image 0 shows both classes, the others one each; two images are asked for."""
    shows = np.array([[1, 1], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]], bool)
    with_both = [0 in draw_order(shows, 2, seed)[:2] for seed in range(50)]
    assert any(with_both)
    assert not all(with_both)
