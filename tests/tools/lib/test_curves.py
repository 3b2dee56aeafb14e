import json

import pytest

from mmseg_u2pl_tools.curves import plot_curves, read_scalars


def write_log(folder, *records):
    path = folder / "vis_data/scalars.json"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def iteration(step, **scalars):
    return dict(scalars, iter=step, step=step)


def test_what_a_resumed_run_logs_again_replaces_what_was_lost(tmp_path):
    first = [iteration(step, loss=float(step)) for step in (10, 20, 30)]
    write_log(tmp_path / "1", *first, dict(mIoU=50.0, step=30))
    # Stopped after 35 iterations, resumed from a checkpoint at 15.
    write_log(tmp_path / "2", iteration(20, loss=-20.0), iteration(40, loss=-40.0))
    scalars = read_scalars(tmp_path)
    assert scalars["loss"] == {10: 10.0, 20: -20.0, 40: -40.0}
    assert scalars["mIoU"] == {}


def test_losses_of_the_segmentor_are_summed_under_one_name_with_and_without_u2pl(tmp_path):
    losses = {"decode.loss_ce": 1.0, "aux.loss_ce": 0.5, "loss": 7.0}
    write_log(tmp_path / "plain/1", iteration(1, **losses))
    semi = {f"sup.{key}": value for key, value in losses.items() if key != "loss"}
    others = {"unsup.loss_ce": 2.0, "contra.loss_nce": 4.0, "loss": 7.5}
    write_log(tmp_path / "u2pl/1", iteration(1, **semi, **others))
    assert read_scalars(tmp_path / "plain")["sup-losses"] == {1: 1.5}
    assert read_scalars(tmp_path / "u2pl")["sup-losses"] == {1: 1.5}


def test_what_methods_log_under_several_names_is_one_curve(tmp_path):
    losses = {"unsup.loss_s1": 0.25, "unsup.loss_s2": 0.5, "unsup.loss_fp": 1.0, "loss": 4.0}
    bank = {"confidence/road": 0.25, "confidence/car": 0.75}
    write_log(tmp_path / "1", iteration(1, **losses), dict(bank, step=1))
    curves = read_scalars(tmp_path)
    assert curves["unsup-losses"] == {1: 1.75}
    assert curves["mean-confidence"] == {1: 0.5}
    assert "sup-losses" not in curves


@pytest.mark.parametrize("key", ["mIoU", "mFscore", "val/mIoU"])
def test_scores_of_epochs_are_put_at_the_iteration_logged_before(tmp_path, key):
    write_log(
        tmp_path / "1",
        dict(loss=1.0, epoch=1, iter=25, step=25),
        dict(teacher_distance=0.1, step=30),
        {key: 40.0, "step": 1},
        dict(loss=1.0, epoch=2, iter=50, step=50),
        {key: 45.0, "step": 2},
    )
    # Resumed: its first validation, of epoch 3, must not be taken for iteration 3.
    resumed = dict(loss=1.0, epoch=3, iter=75, step=75)
    write_log(tmp_path / "2", resumed, {key: 50.0, "step": 3})
    curves = read_scalars(tmp_path)
    assert curves[key] == {25: 40.0, 50: 45.0, 75: 50.0}
    assert list(curves["loss"]) == [25, 50, 75]
    assert curves["teacher_distance"] == {30: 0.1}


def test_a_color_is_a_run_and_a_panel_a_quantity_that_some_run_logged():
    figure = plot_curves(
        {
            "plain": {"loss": {1: 3.0, 2: 2.0}, "mIoU": {2: 40.0}},
            "u2pl": {"loss": {1: 5.0, 2: 4.0}, "mIoU": {2: 50.0}, "student/mIoU": {2: 45.0}},
            "cps": {"mIoU": {2: 51.0}, "second/mIoU": {2: 52.0}, "agreement": {1: 0.9}},
        }
    )
    total, score = figure.axes[:2]
    assert total.get_title() == "total loss"
    assert [list(line.get_ydata()) for line in total.lines] == [[3.0, 2.0], [5.0, 4.0]]
    scores = [[40.0], [50.0], [45.0], [51.0], [52.0]]
    assert [list(line.get_ydata()) for line in score.lines] == scores
    plain, *u2pl, first, second = [line.get_color() for line in score.lines]
    assert len({plain, *u2pl, first}) == 3
    assert second == first
    assert [line.get_linestyle() for line in score.lines] == ["-", "-", "--", "-", "--"]
    assert figure.axes[2].get_title() == "agreement of the two networks"
    names = ["plain", "u2pl", "cps"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == names


def test_errors_name_the_folder_the_file_and_the_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}.*give the work folder of one run"):
        read_scalars(tmp_path)
    write_log(tmp_path / "1")
    with pytest.raises(ValueError, match=r"scalars\.json' is empty; .* before its first log"):
        read_scalars(tmp_path)
    write_log(tmp_path / "2", iteration(1, loss=1.0))
    with (tmp_path / "2/vis_data/scalars.json").open("a") as file:
        file.write('{"loss": 1.')
    with pytest.raises(ValueError, match=r"2/vis_data/scalars\.json', line 2 is not a JSON"):
        read_scalars(tmp_path)
    with pytest.raises(ValueError, match="no run logged any of loss, sup-losses"):
        plot_curves({"a": {"time": {1: 0.5}}})
