import pytest
import torch
from torch import nn

from mmseg_u2pl.models.running_statistics import RunningStatistics
from tiny import batch, tiny_method, tiny_segmentor

NAN, INF = float("nan"), float("inf")


def test_only_what_is_not_finite_is_set_back():
    norm = nn.BatchNorm1d(3)
    norm.running_mean[1] = 5.0
    model = nn.Sequential(nn.Linear(3, 3), norm, nn.BatchNorm1d(3, track_running_stats=False))
    x = torch.tensor([[1.0, INF, 0.0], [3.0, 0.0, NAN]])

    running = RunningStatistics(model)
    norm(x)
    assert not norm.running_mean[1:].isfinite().any()
    running.restore_non_finite()

    # Mean 2 and variance 2 (without bias) of the first channel; momentum 0.1
    assert norm.running_mean.tolist() == pytest.approx([0.2, 5.0, 0.0])
    assert norm.running_var.tolist() == pytest.approx([1.1, 1.0, 1.0])


def test_a_model_without_batch_norm():
    RunningStatistics(nn.Linear(2, 2)).restore_non_finite()


def test_a_backward_pass_may_follow():
    norm = nn.BatchNorm1d(2)
    x = torch.rand(4, 2, requires_grad=True)

    running = RunningStatistics(norm)
    y = norm(x)
    running.restore_non_finite()
    y.square().sum().backward()

    assert x.grad.isfinite().all()


@pytest.mark.parametrize("sup_only", [False, True])
@pytest.mark.parametrize("method", ["U2PL", "MeanTeacher", "UniMatch", "CPS", "AEL"])
def test_an_infinite_activation_does_not_stay_in_the_model(method, sup_only):
    segmentor = tiny_segmentor(norm_cfg=dict(type="BN"))
    model = tiny_method(method, segmentor)
    model.sup_only = sup_only
    data = model.data_preprocessor(batch(2, 2), True)
    model.loss(**data)  # updates the statistics
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert any("running_var" in name for name in before)
    data["inputs"][0] = INF  # a labeled image: all networks see it
    data["inputs"][3] = INF

    losses = model.loss(**data)
    model.parse_losses(losses)[0].backward()
    model.after_optimizer_step()  # averages statistics, if the teacher has not run

    after = model.state_dict()
    moved = [name for name in before if "running_" in name and "student" in name]
    for name in moved:
        torch.testing.assert_close(after[name], before[name])
    for name, value in after.items():
        assert value.isfinite().all(), name
