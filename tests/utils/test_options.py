import pytest

from mmseg_u2pl.models import UnreliableContrastiveHead
from mmseg_u2pl.utils.options import reject_unknown


class Base:
    def __init__(self, decay=0.9, **unknown):
        reject_unknown(type(self), unknown)


class Middle(Base):
    """Adds nothing."""


class Derived(Middle):
    def __init__(self, weight, *, alpha=0.2, **options):
        super().__init__(**options)


class Deepest:
    def __init__(self, deepest=1):
        pass


class Fixed(Deepest):
    def __init__(self, fixed=1):
        super().__init__()


class OnFixed(Fixed):
    def __init__(self, own=1, **options):
        unknown = {name: options[name] for name in options if name != "fixed"}
        reject_unknown(type(self), unknown)
        super().__init__(**options)


class NoArguments:
    def __init__(self):
        pass


class OnNoArguments(NoArguments):
    def __init__(self, shown=1, **unknown):
        super().__init__()
        reject_unknown(type(self), unknown)


def test_known_options_pass():
    Derived(1, alpha=0.1, decay=0.5)
    reject_unknown(Derived, {})


def test_names_the_class_the_option_the_nearest_and_all():
    with pytest.raises(TypeError) as raised:
        Derived(1, alhpa=0.1)

    assert str(raised.value) == (
        "Derived has no option 'alhpa' (did you mean 'alpha'?); "
        "its options are alpha, decay, weight"
    )


def test_names_each_unknown_option():
    with pytest.raises(TypeError, match=r"'alhpa' \(did you mean 'alpha'\?\), 'zzz'; its options"):
        Derived(1, alhpa=0.1, zzz=2)


def test_options_of_a_base_that_is_not_handed_any_are_not_named():
    with pytest.raises(TypeError, match=r"no option 'deepest'; its options are fixed, own$"):
        OnFixed(deepest=1)


def test_a_base_without_arguments():
    with pytest.raises(TypeError, match=r"no option 'show' .*; its options are shown$"):
        OnNoArguments(show=1)


def test_of_the_contrastive_head():
    with pytest.raises(TypeError, match=r"no option 'temprature' \(did you mean 'temperature'\?\)"):
        UnreliableContrastiveHead(num_classes=5, embed_dims=4, temprature=1.0)
