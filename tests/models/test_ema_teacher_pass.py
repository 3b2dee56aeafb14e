import pytest
import torch
from torch import nn

from mmseg_u2pl.models import EMATeacher

pytestmark = pytest.mark.usefixtures("on_device")


def test_stays_in_evaluation_mode():
    student = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5))
    model = nn.ModuleDict(dict(student=student, teacher=EMATeacher(student)))

    model.train()

    assert model["student"].training
    assert not any(module.training for module in model["teacher"].modules())
    model["teacher"](torch.rand(4, 2))
    assert not any(module.training for module in model["teacher"].modules())


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.SyncBatchNorm])
def test_batch_norm_normalizes_with_its_batch_and_moves_its_own_statistics(norm):
    student = norm(1)
    teacher = EMATeacher(student)
    x = torch.tensor([[1.0], [3.0]])

    y = teacher(x)

    # Mean 2 and variance 1 of the batch (2 without bias); momentum 0.1 from mean 0 and variance 1
    torch.testing.assert_close(y, torch.tensor([[-1.0], [1.0]]), rtol=1e-4, atol=0)
    assert teacher.module.running_mean.item() == pytest.approx(0.2)
    assert teacher.module.running_var.item() == pytest.approx(0.9 * 1 + 0.1 * 2)
    assert teacher.module.num_batches_tracked == 1
    assert student.num_batches_tracked == 0
    # Prediction calls the averaged model itself, which uses the running ones.
    expected = (x - 0.2) / 1.1**0.5
    torch.testing.assert_close(teacher.module(x), expected, rtol=1e-4, atol=0)


class FrozenNorm(nn.Module):
    """Keeps its first norm in evaluation mode, like backbones with `norm_eval`."""

    def __init__(self):
        super().__init__()
        self.frozen, self.free = nn.BatchNorm1d(1), nn.BatchNorm1d(1)

    def train(self, mode=True):
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, x):
        return self.free(self.frozen(x))


def test_batch_norm_that_the_model_freezes_stays_frozen():
    teacher = EMATeacher(nn.Sequential(FrozenNorm()))

    teacher(torch.tensor([[1.0], [3.0]]))

    assert teacher.module[0].frozen.num_batches_tracked == 0
    assert teacher.module[0].free.num_batches_tracked == 1


def test_other_layers_do_not_know_of_training():
    layers = (nn.Dropout(0.5), nn.InstanceNorm1d(2, track_running_stats=True))
    teacher = EMATeacher(nn.Sequential(*layers))
    x = torch.rand(3, 2, 4)

    torch.testing.assert_close(teacher(x), x, rtol=1e-4, atol=0)
    assert teacher.module[1].num_batches_tracked == 0


def test_is_in_evaluation_mode_again_after_an_error():
    teacher = EMATeacher(nn.BatchNorm1d(2))

    with pytest.raises(ValueError, match="more than 1 value per channel"):
        teacher(torch.rand(1, 2))

    assert not teacher.module.training


def batch_norm_after_a_step(statistics, has_run=True):
    """Teacher of a batch norm after two updates, and its training-mode output for a batch."""
    student = nn.BatchNorm1d(1)
    teacher = EMATeacher(student, statistics=statistics)
    for mean in (2.0, 6.0):
        student.running_mean.fill_(mean)
        teacher.update(student, has_run=has_run)
    return teacher, teacher(torch.tensor([[6.0], [8.0]])).flatten()


def test_averaged_statistics_follow_the_weights_and_normalize():
    teacher, y = batch_norm_after_a_step("averaged")

    assert teacher.module.running_mean.item() == 4.0
    torch.testing.assert_close(y, torch.tensor([2.0, 4.0]), rtol=1e-4, atol=0)


def test_own_statistics_are_not_the_students():
    teacher, y = batch_norm_after_a_step("own")

    # A tenth of the batch's mean of 7, and the batch itself normalized
    assert teacher.module.running_mean.item() == pytest.approx(0.7)
    torch.testing.assert_close(y, torch.tensor([-1.0, 1.0]), rtol=1e-4, atol=0)


def test_dropout_in_training_but_not_in_prediction():
    teacher = EMATeacher(nn.Sequential(nn.Dropout(0.5)), dropout=True)
    x = torch.ones(1000)

    dropped = (teacher(x) == 0).sum()

    assert 400 < dropped < 600
    assert torch.equal(teacher.predict(x), x)


def test_prediction_uses_running_statistics_and_leaves_them():
    teacher = EMATeacher(nn.BatchNorm1d(1))

    y = teacher.predict(torch.tensor([[1.0], [3.0]], requires_grad=True))

    torch.testing.assert_close(y, torch.tensor([[1.0], [3.0]]), rtol=1e-4, atol=0)
    assert teacher.module.num_batches_tracked == 0
    assert not y.requires_grad
