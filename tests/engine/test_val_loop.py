"""Order of validation; real runs test that the scores are those of the roles."""

from types import SimpleNamespace

from mmseg_u2pl.engine.val_loop import SemiValLoop


def test_the_teacher_comes_last_so_that_pictures_of_the_same_name_are_its_own(monkeypatch):
    roles = []

    def evaluate(loop, role):
        roles.append(role)
        return {"mIoU": {"teacher": 70.0, "student": 60.0}[role]}

    monkeypatch.setattr(SemiValLoop, "_evaluate", evaluate)
    loop = SemiValLoop.__new__(SemiValLoop)
    hooks = []
    loop._runner = SimpleNamespace(
        call_hook=lambda name, **_: hooks.append(name),
        model=SimpleNamespace(eval=lambda: None, networks=["teacher", "student"]),
    )
    assert list(loop.run().items()) == [("mIoU", 70.0), ("student/mIoU", 60.0)]
    assert roles == ["student", "teacher"]
    assert hooks == ["before_val", "before_val_epoch", "after_val_epoch", "after_val"]
