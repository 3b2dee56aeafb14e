"""Checkpoints that do not fit are refused, whereas MMEngine would silently continue."""

import pytest
import torch
from mmengine.runner import Runner

from checkpoints import config, load
from every_method import method
from tiny import tiny_segmentor, tiny_u2pl


def test_a_run_does_not_go_on_from_weights_alone(saved, tmp_path):
    path = next(saved.glob("best*.pth"))
    message = "it lacks optimizer, param_schedulers. Best checkpoints .* load_from=CHECKPOINT"
    with pytest.raises(ValueError, match=message):
        Runner(**config(tmp_path), load_from=str(path), resume=True).train()
    Runner(**config(tmp_path), load_from=str(path)).train()


@pytest.mark.parametrize("key", ["meta", "message_hub", "optimizer", "param_schedulers"])
def test_a_run_does_not_go_on_without_a_part_of_it(saved, tmp_path, key):
    parts = load(saved / "iter_2.pth")
    del parts[key]
    torch.save(parts, tmp_path / "less.pth")
    runner = Runner(**config(tmp_path), load_from=str(tmp_path / "less.pth"), resume=True)
    with pytest.raises(ValueError, match=f"it lacks {key}. Best checkpoints"):
        runner.train()


@pytest.mark.parametrize("action", ["train", "test"])
def test_a_plain_model_does_not_take_a_checkpoint_of_u2pl(saved, tmp_path, action):
    cfg = config(tmp_path, model=tiny_segmentor())
    del cfg["default_hooks"]["mean_teacher"]
    cfg |= {f"test_{key}": cfg[f"val_{key}"] for key in ("dataloader", "evaluator")}
    cfg["test_cfg"] = dict(type="TestLoop")
    message = (
        "semi-supervised run, but the config's model is a plain EncoderDecoder.*export_segmentor.py"
    )
    with pytest.raises(ValueError, match=message):
        getattr(Runner(**cfg, load_from=str(saved / "iter_4.pth")), action)()


@pytest.mark.parametrize(
    ("source", "target", "absent"),
    [
        ("U2PL", "CPS", "lacks the first and second of CPS"),
        ("CPS", "U2PL", "lacks the teacher and student of U2PL"),
        ("UniMatch", "U2PL", "lacks the teacher of U2PL"),
    ],
)
def test_a_method_does_not_take_a_checkpoint_without_its_networks(tmp_path, source, target, absent):
    path = tmp_path / "other.pth"
    torch.save(dict(state_dict=method(source).state_dict()), path)
    runner = Runner(**config(tmp_path, model=method(target)), load_from=str(path))
    with pytest.raises(ValueError, match=f"{absent}.*export_segmentor.py"):
        runner.load_or_resume()


def test_a_method_takes_a_checkpoint_that_has_its_networks(tmp_path):
    path, weights = tmp_path / "other.pth", method("U2PL").state_dict()
    torch.save(dict(state_dict=weights), path)
    runner = Runner(**config(tmp_path, model=method("MeanTeacher")), load_from=str(path))
    runner.load_or_resume()
    for name, weight in runner.model.plain_segmentor.state_dict().items():
        assert torch.equal(weight, weights[f"teacher.module.segmentor.{name}"])


def test_u2pl_takes_a_plain_checkpoint(saved, tmp_path):
    state = load(saved / "iter_4.pth")["state_dict"]
    prefix = "teacher.module.segmentor."
    plain = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    torch.save(dict(state_dict=plain), tmp_path / "plain.pth")
    cfg = config(tmp_path)
    runner = Runner(**cfg, load_from=str(tmp_path / "plain.pth"))
    runner.load_or_resume()
    student = runner.model.student.segmentor.state_dict()
    assert all(torch.equal(student[name], weight) for name, weight in plain.items())


def test_a_run_does_not_go_on_with_another_model(saved, tmp_path):
    model = tiny_u2pl(tiny_segmentor(), projector=dict(embed_dims=4, num_convs=1))
    cfg = config(tmp_path, model=model)
    with pytest.raises(ValueError, match=r"to another model\. \d+ weights .* student.projector"):
        Runner(**cfg, load_from=str(saved / "iter_4.pth"), resume=True).train()


def test_a_run_does_not_go_on_with_less_of_a_model(tmp_path):
    Runner(**config(tmp_path, model=tiny_u2pl(distribution_alignment=True))).train()
    with pytest.raises(ValueError, match=r"to another model\. 3 weights .* alignment\.bias"):
        Runner(**config(tmp_path), resume=True).train()
