"""The model of a config with another method."""

import pytest
from mmengine.config import Config
from mmseg.registry import MODELS

from datatrees import load_tool
from other_method import method_names, with_method
from runs import CONFIG
from tiny import tiny_segmentor


def test_options_that_both_methods_have_stay():
    model = Config.fromfile(CONFIG).model.to_dict()
    assert {"projector", "teacher"} < model.keys()

    other = with_method(model, "mean_teacher")

    assert other.keys() == {"type", "segmentor", "teacher"}
    assert other["type"] == "MeanTeacher"
    assert other["teacher"] == model["teacher"]
    assert other["segmentor"] == model["segmentor"]


def test_a_head_is_not_carried_over_to_methods_that_can_do_without():
    model = Config.fromfile(CONFIG).model.to_dict()
    for name in ("fixmatch", "unimatch_v2"):
        assert MODELS.build(with_method(model, name)).contrastive_head is None


def test_nested_options_are_merged_and_those_of_the_method_win():
    model = dict(
        type="U2PL",
        segmentor=tiny_segmentor(),
        contra_weight=0.3,
        teacher=dict(decay=0.9),
        contrastive_head=dict(queue_size=5),
    )
    other = with_method(model, "u2pl_reference")
    assert other["contra_weight"] == 1.0
    assert other["teacher"] == dict(decay=0.9, dropout=True)
    assert other["contrastive_head"] == dict(
        type="ReferenceContrastiveHead", queue_size=5, num_anchors=256, num_negatives=50
    )
    assert model["contrastive_head"] == dict(queue_size=5)


@pytest.mark.parametrize("name", method_names())
def test_a_plain_model_is_wrapped(name):
    model = MODELS.build(with_method(tiny_segmentor(), name))
    assert model.num_classes == tiny_segmentor()["decode_head"]["num_classes"]


def test_an_unknown_method_is_refused_with_those_there_are():
    with pytest.raises(
        ValueError, match=r"no method .supervised.; .* has \w+, .*mean_teacher, u2pl"
    ):
        with_method(tiny_segmentor(), "supervised")


def test_a_run_of_a_benchmark_is_trained_with_its_method(tmp_path):
    path = tmp_path / "list.py"
    path.write_text(f"runs = [dict(name='a b', config={str(CONFIG)!r}, method='mean_teacher')]")
    tool = load_tool("run_benchmark")
    [run], _ = tool.read_benchmark(path, tmp_path / "runs")
    command = tool.command_of(run, "none", 1)
    written = tmp_path / "runs/a_b/mean_teacher.py"
    assert str(written) in command
    cfg = Config.fromfile(written)
    assert cfg.model.type == "MeanTeacher"
    assert cfg.default_hooks.mean_teacher.sup_only_iters == 350
