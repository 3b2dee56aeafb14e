"""A model of each family in MMSegmentation's configs trains with its own, unchanged loss.

The light families always run; `pytest -m sweep` runs all of them. With methods other than U2PL,
fewer families are light.
"""

import importlib.util
import logging
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from datatrees import load_tool
from mmseg_u2pl.ops import resize_logits

LIGHT = {
    "bisenetv1",
    "bisenetv2",
    "cgnet",
    "ddrnet",
    "deeplabv3plus",
    "erfnet",
    "fastscnn",
    "fcn",
    "hrnet",
    "icnet",
    "mobilenet_v2",
    "ocrnet",
    "pidnet",
    "segformer",
    "segmenter",
    "segnext",
    "stdc",
}
# Several outputs and an edge loss; tokens for pixels.
LIGHT_WITH_ALL_METHODS = {"pidnet", "segmenter"}
LOSSES = {"loss", "sup", "unsup", "contra"}
REFUSED = {"san", "vpd"}
# They do more in prediction than in training: more iterations, or refinement of points.
PREDICT_OTHERWISE = {"segnext", "point_rend"}
CLASSIFY_MASKS = {"mask2former", "maskformer"}


tool = load_tool("check_any_model")


def marked(name, *others, light=LIGHT):
    marks = [pytest.mark.sweep, *[pytest.mark.light] * (name in light)]
    return pytest.param(name, *others, marks=marks)


def build(family, *method):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return tool.build(family, *method)
        except (ImportError, RuntimeError) as error:
            if not family.needs:
                raise
            pytest.skip(f"needs {family.needs}: {error}")


def skip_what_mmsegmentation_cannot_train(name, model, inputs, data_samples):
    """DNLHead changes a tensor in place that the backward pass of PyTorch 2.1 needs."""
    if name != "dnlnet":
        return
    plain = next(iter(model.trained_networks.values())).segmentor
    labeled = inputs[: tool.NUM_LABELED], data_samples[: tool.NUM_LABELED]
    try:
        with_gradient(plain, plain.loss(*labeled))
    except RuntimeError as error:
        pytest.skip(
            f"MMSegmentation alone cannot train it with PyTorch {torch.__version__}: {error}"
        )


@pytest.mark.parametrize("name", [marked(name) for name in tool.FAMILIES if name not in REFUSED])
def test_family_trains(name):
    family = tool.FAMILIES[name]
    model = build(family)
    raw = tool.random_batch(family.crop, model.num_classes, seed=7)
    data = model.train().data_preprocessor(raw, True)
    skip_what_mmsegmentation_cannot_train(name, model, **data)

    steps_move_student_and_teacher(model, family.crop)
    all_that_plain_training_trains_is_trained(model, **data)
    supervised_losses_are_the_plain_ones(model, **data)
    if name not in PREDICT_OTHERWISE:
        logits_are_those_that_predict(model, data["inputs"], of_masks=name in CLASSIFY_MASKS)
    for sample in tool.predict(model, family.crop):
        assert sample.pred_sem_seg.data.shape == (1, family.crop, family.crop)
        assert sample.pred_sem_seg.data.max() < model.num_classes


@pytest.mark.parametrize(
    ("name", "method"),
    [
        marked(name, method, light=LIGHT_WITH_ALL_METHODS)
        for name in tool.FAMILIES
        for method in tool.method_names()
        if name not in REFUSED and method != "u2pl"
    ],
)
def test_family_trains_with_other_methods(name, method):
    family = tool.FAMILIES[name]
    model = build(family, method)
    raw = tool.random_batch(family.crop, model.num_classes, seed=7)
    inputs, data_samples = model.train().data_preprocessor(raw, True).values()
    skip_what_mmsegmentation_cannot_train(name, model, inputs, data_samples)

    losses = model.loss(inputs, data_samples)
    assert all(value.isfinite() for value in model.parse_losses(losses)[1].values())
    unlabeled = {key: value for key, value in losses.items() if key.startswith("unsup.loss")}
    assert unlabeled
    assert all(value > 0 for value in unlabeled.values())

    # Each trained network is trained as a whole.
    reached = with_gradient(model, losses)
    labeled = inputs[: tool.NUM_LABELED], data_samples[: tool.NUM_LABELED]
    for role in model.trained_networks:
        path = model.networks[role]
        plain = with_gradient(model.get_submodule(path), model.get_submodule(path).loss(*labeled))
        assert {f"{path}.{parameter}" for parameter in plain} <= reached

    model.after_optimizer_step()
    for role in model.networks:
        model.predict_with = role
        for sample in tool.predict(model, family.crop):
            assert sample.pred_sem_seg.data.shape == (1, family.crop, family.crop)


def steps_move_student_and_teacher(model, crop):
    before = {name: p.sum().item() for name, p in model.named_parameters()}
    for log in tool.train(model, crop):
        assert {key.split(".")[0] for key in log if "loss" in key} == LOSSES
        assert {"unsup.loss_ce", "contra.loss_nce"} < log.keys()
        assert all(value.isfinite() for value in log.values()), log
        assert log["unsup.loss_ce"] > 0
        assert log["contra.loss_nce"] > 0
    assert (model.contrastive_head.bank.fill > 0).any()
    moved = {name for name, p in model.named_parameters() if p.sum().item() != before[name]}
    for part in ("student.segmentor.", "student.projector.", "teacher.module.segmentor."):
        assert any(name.startswith(part) for name in moved)


def all_that_plain_training_trains_is_trained(model, inputs, data_samples):
    student = model.student.train()
    labeled = slice(tool.NUM_LABELED)
    plain = with_gradient(student, student.segmentor.loss(inputs[labeled], data_samples[labeled]))
    projector = {f"projector.{name}" for name, _ in student.projector.named_parameters()}
    assert plain | projector <= with_gradient(student, model.loss(inputs, data_samples))


def supervised_losses_are_the_plain_ones(model, inputs, data_samples):
    student = without_randomness(model.student)
    labeled = slice(tool.NUM_LABELED)
    with same_state(student):
        expected = student.segmentor.loss(inputs[labeled], data_samples[labeled])
    with same_state(student):
        got = student.supervised_loss(inputs, student(inputs), data_samples[labeled])
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            got[name], value, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


def logits_are_those_that_predict(model, inputs, of_masks):
    student, size = without_randomness(model.student), inputs.shape[-2:]
    with same_state(student):
        logits = student(inputs).logits
    if of_masks:  # They predict scores, and resize masks rather than scores.
        logits, size = logits.exp(), logits.shape[-2:]
    logits = resize_logits(logits, size, model.align_corners)
    metas = [dict(img_shape=size)] * len(inputs)
    with same_state(student.eval()):
        expected = student.segmentor.encode_decode(inputs, metas)
    assert (logits - expected).norm() < 1e-3 * (expected - expected.mean()).norm()


def with_gradient(model, losses):
    """Names of the parameters that a step trains; gradients are cleared afterwards."""
    total = sum(
        part
        for key, value in losses.items()
        if "loss" in key
        for part in (value if isinstance(value, list) else [value])
    )
    total.backward()
    names = {name for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return names


def without_randomness(model):
    """Training mode in which the output for an image is independent of chance and other images."""
    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm) or "Drop" in type(module).__name__:
            module.eval()
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    return model


@contextmanager
def same_state(model):
    """Fix the random state, and restore the buffers: EMANet's bases learn in a forward pass."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        yield
    model.load_state_dict(buffers, strict=False)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_families_say_why(name):
    with pytest.raises(ValueError, match=r"decode_head \w+ cannot be trained .*: it (reads|estim)"):
        tool.build(tool.FAMILIES[name])


@pytest.mark.skipif(
    importlib.util.find_spec("mmdet") is not None, reason="MMDetection is installed"
)
@pytest.mark.parametrize("name", sorted(CLASSIFY_MASKS))
def test_missing_mmdetection_is_named(name):
    with pytest.raises(ImportError, match=r"pixel_decoder is a mmdet.* needs the package mmdet"):
        tool.build(tool.FAMILIES[name])


def test_every_folder_of_mmsegmentation_is_covered():
    folders = {path.name for path in tool.CONFIGS.iterdir() if path.is_dir()} - {"_base_"}
    assert {family.config.split("/")[0] for family in tool.FAMILIES.values()} == folders
    assert tool.FAMILIES.keys() >= LIGHT | LIGHT_WITH_ALL_METHODS | REFUSED | PREDICT_OTHERWISE


def test_results_cover_every_family():
    results = tool.read_results()
    assert list(results) == list(tool.FAMILIES)
    for name, outcome, config, tap, size in results.values():
        family = tool.FAMILIES[name]
        assert config == Path(family.config).stem
        if name in REFUSED:
            assert outcome.startswith("no: decode_head")
        else:
            assert outcome == (f"needs {family.needs}" if family.needs else tool.ALL)
        assert bool(tap) == bool(size) == (outcome == tool.ALL)


def test_document_groups_the_results():
    table = tool.DOCUMENT.read_text().split(tool.START)[1].split(tool.END)[0]
    assert table == tool.grouped(list(tool.read_results().values()))


def test_families_are_grouped_by_outcome_and_embedding():
    results = [
        tool.Result("a", "needs more", "a_r50", "", ""),
        tool.Result("b", "all methods", "b_r50", "head.y", "1.0"),
        tool.Result("c", "all methods", "c_r50", "head.x", "2.0"),
        tool.Result("d", "all methods", "d_r50", "head.x", "3.0"),
        tool.Result("e", "not cps: no: zero", "e_r50", "head.x", "4.0"),
    ]
    assert tool.grouped(results).splitlines()[2:] == [
        "| all methods | `head.x` | c, d |",
        "| all methods | `head.y` | b |",
        "| needs more |  | a |",
        "| not cps: no: zero | `head.x` | e |",
    ]


@pytest.fixture
def document(tmp_path, monkeypatch):
    """An empty table without results, and a tool that knows three families and two methods."""
    chosen = {name: tool.FAMILIES[name] for name in ("fastscnn", "vpd")}
    chosen["strange"] = tool.Family("strange/of_another_package.py", needs="another package")
    monkeypatch.setattr(tool, "FAMILIES", chosen)
    monkeypatch.setattr(tool, "method_names", lambda: ["cps", "u2pl"])
    monkeypatch.setattr(tool, "DOCUMENT", tmp_path / "any_model.md")
    monkeypatch.setattr(tool, "RESULTS", tmp_path / "any_model.csv")
    tool.DOCUMENT.write_text(f"before\n{tool.START}{tool.END}after\n")
    logging.disable(logging.WARNING)  # as in the program; MMEngine logs to the standard output
    yield tool.DOCUMENT
    logging.disable(logging.NOTSET)


def test_tool_writes_results_and_table_and_compares_them(document, capsys):
    tool.main([])

    results, text = tool.RESULTS.read_text(), document.read_text()
    assert capsys.readouterr().out in results
    head, fastscnn, vpd, strange = results.splitlines()
    assert head == "family,trains_with,config,embedding_source,parameters_m"
    config = "fast_scnn_8xb4-160k_cityscapes-512x1024"
    assert fastscnn == f"fastscnn,all methods,{config},decode_head.conv_seg,1.5"
    reason = "no: decode_head VPDDepthHead cannot be trained semi-supervised: it estimates depth"
    assert vpd.startswith(f'vpd,"{reason}, not classes",')
    assert strange == "strange,needs another package,of_another_package,,"
    table = (
        "| all methods | `decode_head.conv_seg` | fastscnn |\n"
        "| needs another package |  | strange |\n"
        f"| {reason}, not classes |  | vpd |\n"
    )
    assert text == f"before\n{tool.START}{tool.HEAD}{table}{tool.END}after\n"

    tool.main(["--check", "vpd", "strange"])
    tool.RESULTS.write_text(results.replace(",1.5", ",1.6"))
    with pytest.raises(SystemExit, match=r"-fastscnn,.*,1.6\n\+fastscnn,.*,1.5\n$"):
        tool.main(["--check"])
    tool.RESULTS.write_text(results)
    document.write_text(text.replace("| fastscnn |", "| another |"))
    with pytest.raises(SystemExit, match=r"-\| all .* another \|\n\+\| all .* fastscnn \|\n$"):
        tool.main(["--check", "vpd"])
    tool.RESULTS.write_text(results.replace("another package", "an older one"))
    tool.main(["strange"])
    assert (tool.RESULTS.read_text(), document.read_text()) == (results, text)
    with pytest.raises(SystemExit, match="2"):
        tool.main(["stranger"])
    assert "unknown family stranger; choose from fastscnn, vpd, strange" in capsys.readouterr().err


def test_tool_wants_a_place_for_the_table(document, capsys):
    document.write_text("nothing\n")
    with pytest.raises(SystemExit) as exited:
        tool.main([])
    assert exited.value.code == 2
    assert f"error: {document} lacks the lines {tool.START.strip()}" in capsys.readouterr().err


def test_tool_says_why_a_family_does_not_train(monkeypatch):
    def diverge(*_):
        return [dict(loss=torch.tensor(1.0)), dict(loss=torch.tensor(float("nan")))]

    family = tool.FAMILIES["fastscnn"]
    monkeypatch.setattr(tool, "train", diverge)
    assert tool.try_method(family, "u2pl")[0] == "no: not finite: loss"
    monkeypatch.setattr(tool, "train", lambda *_: [{"unsup.loss_ce": torch.tensor(0.0)}])
    assert tool.try_method(family, "u2pl")[0] == "no: zero: unsup.loss_ce"
    monkeypatch.setattr(tool, "train", lambda *_: 1 / 0)
    assert tool.try_method(family, "u2pl")[0] == "no: division by zero"
    monkeypatch.setattr(tool, "method_names", lambda: ["fixmatch", "u2pl"])
    assert tool.try_others(family, "yes") == "not fixmatch: no: division by zero"
