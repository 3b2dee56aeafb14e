import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict
from torch import nn

from mmseg_u2pl.models import EMATeacher
from oracles import averages

pytestmark = pytest.mark.usefixtures("on_device")


class Scalar(nn.Module):
    """A model with one number of each kind."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(100.0))
        self.register_buffer("statistic", torch.tensor(100.0))
        self.register_buffer("unsaved", torch.tensor(100.0), persistent=False)
        self.register_buffer("count", torch.tensor(100))
        self.register_buffer("flag", torch.tensor(False))

    def set_to(self, value):
        with torch.no_grad():
            for tensor in (self.weight, self.statistic, self.unsaved, self.count):
                tensor.fill_(value)
            self.flag.fill_(True)

    def forward(self, x):
        return x * self.weight + self.statistic


def follow(student, teacher, values, **options):
    """The teacher's weight after each weight of the student."""
    result = []
    for value in values:
        student.set_to(value)
        teacher.update(student, **options)
        result.append(teacher.module.weight.item())
    return result


def test_hand_worked_ramp():
    # d = 0, 1/2, 2/3, 3/4: until the decay takes over, the mean of all so far
    student = Scalar()
    teacher = EMATeacher(student, decay=0.99)

    assert follow(student, teacher, [4, 8, 3, 9]) == pytest.approx([4, 6, 5, 6])


def test_hand_worked_small_decay():
    # d = 0, 1/2, then 0.6: 4; 6; 0.6 * 6 + 0.4 * 2; 0.6 * 4.4 + 0.4 * 10
    student = Scalar()
    teacher = EMATeacher(student, decay=0.6)

    assert follow(student, teacher, [4, 8, 2, 10]) == pytest.approx([4, 6, 4.4, 6.64])


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99, 1.0])
def test_ramp_over_many_steps(decay):
    student = Scalar()
    teacher = EMATeacher(student, decay)
    values = [(7 * step) % 23 for step in range(250)]

    assert follow(student, teacher, values) == pytest.approx(averages(values, decay), rel=1e-4)


def test_decay_takes_over_after_a_hundred_steps():
    student = Scalar()
    teacher = EMATeacher(student)

    result = follow(student, teacher, [0.0] * 100 + [1.0] * 2)

    assert result[-3:] == pytest.approx([0.0, 0.01, 0.0199])


def test_the_first_update_copies_the_student_exactly():
    student = nn.Conv2d(3, 4, 3)
    teacher = EMATeacher(student)
    nn.init.normal_(student.weight)

    teacher.update(student)

    assert torch.equal(teacher.module.weight, student.weight)


def test_buffers_follow_the_student_but_for_batch_norm():
    student = nn.ModuleList([Scalar(), nn.BatchNorm1d(1)])
    teacher = EMATeacher(student)

    for value in (4, 8):
        student[0].set_to(value)
        student[1].running_mean.fill_(value)
        teacher.update(student)

    scalar, norm = teacher.module
    # Floats are averaged like the weights, others copied.
    assert scalar.statistic.item() == scalar.unsaved.item() == 6.0
    assert scalar.count.item() == 8
    assert scalar.flag.item() is True
    assert norm.running_mean.item() == 0.0
    assert norm.num_batches_tracked.item() == 0


def test_without_a_pass_floats_are_averaged_and_others_copied():
    student = Scalar()
    teacher = EMATeacher(student)

    follow(student, teacher, [4, 8], has_run=False)

    assert teacher.module.weight.item() == 6.0
    assert teacher.module.statistic.item() == teacher.module.unsaved.item() == 6.0
    assert teacher.module.count.item() == 8
    assert teacher.module.flag.item() is True


def test_without_a_pass_batch_norm_statistics_are_averaged():
    student = nn.BatchNorm1d(1)
    teacher = EMATeacher(student)

    for mean, variance, seen in ((2.0, 1.0, 5), (6.0, 3.0, 9)):
        student.running_mean.fill_(mean)
        student.running_var.fill_(variance)
        student.num_batches_tracked.fill_(seen)
        teacher.update(student, has_run=False)

    assert teacher.module.running_mean.item() == 4.0
    assert teacher.module.running_var.item() == 2.0
    assert teacher.module.num_batches_tracked.item() == 9


def test_the_student_is_not_touched():
    student = Scalar()
    teacher = EMATeacher(student)
    follow(student, teacher, [4, 8])

    assert student.weight.item() == student.statistic.item() == 8.0
    assert student.weight.requires_grad
    assert teacher.module.weight.data_ptr() != student.weight.data_ptr()


def test_copy_from_takes_parameters_and_buffers():
    student = Scalar()
    teacher = EMATeacher(student)
    student.set_to(7.0)

    teacher.copy_from(student)

    for name in ("weight", "statistic", "count"):
        assert getattr(teacher.module, name).item() == 7, name
    assert teacher.module.flag.item() is True


def test_has_no_gradient():
    student = Scalar()
    teacher = EMATeacher(student)

    output = teacher(torch.ones((), requires_grad=True))

    assert not output.requires_grad
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert student.weight.requires_grad


def resumed_by_torch(model, state):
    model.load_state_dict(state, strict=True)


def resumed_by_mmengine(model, state):
    load_state_dict(model, state, strict=True)


@pytest.mark.parametrize("resume", [resumed_by_torch, resumed_by_mmengine])
def test_a_resumed_teacher_goes_on_with_the_ramp(resume):
    values = [4.0, 8.0, 3.0, 9.0, 1.0]
    student, again = Scalar(), Scalar()
    teacher = EMATeacher(student)
    expected = follow(student, teacher, values[:3])
    resumed = EMATeacher(again)
    # It has already been used, so its counter must be reset.
    follow(again, resumed, [50.0] * 7)
    resume(resumed, teacher.state_dict())

    expected += follow(student, teacher, values[3:])
    assert follow(again, resumed, values[3:]) == expected[3:]
    assert expected == pytest.approx([4, 6, 5, 6, 5])


def test_may_be_moved_after_it_was_made():
    student = Scalar()
    model = nn.ModuleDict(dict(student=student, teacher=EMATeacher(student)))
    model.to(torch.float64)

    result = follow(student, model["teacher"], [1.0, 1 + 2**-40])

    assert result == [1.0, 1 + 2**-41]
    assert model["teacher"].module.count.dtype == torch.int64
    assert model["teacher"].steps.value == 2


@pytest.mark.parametrize("decay", [-0.1, 1.1])
def test_refuses_a_decay_outside_of_zero_to_one(decay):
    with pytest.raises(ValueError, match=rf"decay must lie in \[0, 1\], got {decay}"):
        EMATeacher(Scalar(), decay)


def test_without_a_ramp_the_decay_holds_from_the_first_step():
    student = Scalar()
    teacher = EMATeacher(student, decay=0.75, ramp=False)

    assert follow(student, teacher, [200.0, 200.0]) == pytest.approx([125.0, 143.75])


def test_hand_worked_distance():
    student = nn.Linear(2, 1, bias=False)
    teacher = EMATeacher(student)
    student.weight.data = torch.tensor([[3.0, 4.0]])
    teacher.module.weight.data = torch.tensor([[3.0, 5.0]])

    assert teacher.distance(student).item() == pytest.approx(1 / 5)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(statistics="none"), ValueError, "statistics must be one of 'own', 'averaged', got"),
        (dict(momentum=0.9), TypeError, "unexpected keyword argument 'momentum'"),
    ],
)
def test_refuses_unknown_options(options, error, message):
    with pytest.raises(error, match=message):
        EMATeacher(Scalar(), **options)
