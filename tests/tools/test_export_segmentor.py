"""A wrapped config trains, and its model is exported as a plain checkpoint."""

import importlib.util
import io
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.apis import inference_model, init_model
from mmseg.registry import MODELS

from datatrees import load_tool
from plain_training import CLASSES, write_images, write_list, write_plain


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder of a run of a wrapped config, with three steps, the first one supervised only."""
    folder = tmp_path_factory.mktemp("run")
    root = folder / "data"
    write_images(root, "abcdefg")
    plain = write_plain(folder / "plain.py", root)
    lists = [write_list(root / f"{name}.txt", names) for name, names in (("l", "ab"), ("u", "cde"))]
    write_list(root / "val.txt", "fg")
    wrapped = folder / "wrapped.py"
    arguments = [plain, "--labeled", lists[0], "--unlabeled", lists[1], "-o", str(wrapped)]
    load_tool("wrap_config").main(arguments)
    with wrapped.open("a") as file:
        file.write('model["contrastive_head"] = dict(queue_size=1000)\n')
    cfg = Config.fromfile(wrapped)
    cfg.work_dir = str(folder / "work")
    cfg.optim_wrapper.optimizer.lr = 1.0  # so that student and teacher differ
    runner = Runner.from_cfg(cfg)
    runner.train()
    scalars = runner.message_hub.log_scalars
    assert {"val/mIoU", "train/unsup.loss_ce", "train/contra.loss_nce"} <= set(scalars)
    assert runner.iter == 3
    return folder


def export(run, out, *arguments, config="wrapped.py", checkpoint="work/iter_3.pth"):
    flags = [str(run / config), str(run / checkpoint), str(out), *arguments]
    load_tool("export_segmentor").main(flags)
    return out


def wrapped_model(run, role="teacher"):
    model = init_model(str(run / "wrapped.py"), str(run / "work/iter_3.pth"), device="cpu")
    model.predict_with = role
    return model


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_logits_are_bit_equal(run, tmp_path, role):
    out = export(run, tmp_path / "new/plain.pth", "--from", role)
    plain = MODELS.build(Config.fromfile(run / "plain.py").model).eval()
    # It only has tensors and plain values.
    state = torch.load(out, weights_only=True)["state_dict"]
    plain.load_state_dict(state, strict=True)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    logits = {r: wrapped_model(run, r)(images) for r in ("teacher", "student")}
    assert torch.equal(plain(images), logits[role])
    assert not torch.equal(logits["teacher"], logits["student"])


def test_default_is_the_teacher_and_the_file_is_small(run, tmp_path, capsys):
    out = export(run, tmp_path / "plain.pth")
    assert f"{out}: the plain segmentor of the teacher" in capsys.readouterr().out
    assert out.stat().st_size < (run / "work/iter_3.pth").stat().st_size / 10
    weights = torch.load(out, weights_only=True)
    trained = torch.load(run / "work/iter_3.pth", weights_only=False)["state_dict"]
    name = "decode_head.conv_seg.weight"
    assert torch.equal(weights["state_dict"][name], trained[f"teacher.module.segmentor.{name}"])
    assert set(weights) == {"meta", "state_dict"}
    assert weights["meta"]["dataset_meta"]["classes"] == CLASSES
    assert len(weights["meta"]["dataset_meta"]["palette"]) == len(CLASSES)
    assert weights["meta"]["iter"] == 3


def test_mmseg_apis(run, tmp_path):
    plain = init_model(str(run / "plain.py"), str(export(run, tmp_path / "plain.pth")), "cpu")
    assert plain.dataset_meta["classes"] == CLASSES
    image = str(run / "data/images/f.jpg")
    mine, theirs = (inference_model(model, image) for model in (wrapped_model(run), plain))
    assert torch.equal(mine.seg_logits.data, theirs.seg_logits.data)
    assert torch.equal(mine.pred_sem_seg.data, theirs.pred_sem_seg.data)


def test_augmented_alike(run, tmp_path, monkeypatch):
    """tools/test.py --tta predicts the same with the exported and the wrapped model."""
    monkeypatch.chdir(tmp_path)
    export(run, tmp_path / "plain.pth")
    maps = {}
    for config, checkpoint in (("wrapped", run / "work/iter_3.pth"), ("plain", "plain.pth")):
        arguments = [str(run / f"{config}.py"), str(checkpoint), "--out", config, "--tta"]
        load_tool("test").main(arguments)
        maps[config] = [path.read_bytes() for path in sorted(Path(config).glob("*.png"))]
    assert len(maps["plain"]) == 2
    assert maps["plain"] == maps["wrapped"]


def test_exported_checkpoint_starts_a_run(run, tmp_path):
    """Like any checkpoint of the plain config, it initializes student and teacher."""
    out = export(run, tmp_path / "plain.pth", "--from", "student")
    cfg = Config.fromfile(run / "wrapped.py")
    cfg.merge_from_dict(dict(load_from=str(out), work_dir=str(tmp_path)))
    runner = Runner.from_cfg(cfg)
    runner.load_or_resume()
    weights = torch.load(out, weights_only=True)["state_dict"]
    for segmentor in (runner.model.student.segmentor, runner.model.teacher.module.segmentor):
        state = segmentor.state_dict()
        assert set(state) == set(weights)
        assert all(torch.equal(state[name], weights[name]) for name in weights)


def test_onnx(run, tmp_path):
    """The plain model goes through PyTorch's exporter, and ONNX computes the same logits."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    import onnxruntime

    plain = init_model(str(run / "plain.py"), str(export(run, tmp_path / "plain.pth")), "cpu")
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    buffer = io.BytesIO()
    torch.onnx.export(plain, (images,), buffer, dynamo=True, input_names=["images"])
    session = onnxruntime.InferenceSession(buffer.getvalue())
    logits = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    torch.testing.assert_close(logits, plain(images), rtol=1e-3, atol=1e-4)


class TestErrors:
    def fails(self, run, tmp_path, capsys, match, **files):
        with pytest.raises(SystemExit, match="2"):
            export(run, tmp_path / "out.pth", **files)
        assert f"error: {match}" in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "out.pth").exists()

    def test_missing_files(self, run, tmp_path, capsys):
        self.fails(run, tmp_path, capsys, "cannot read the config", config="none.py")
        self.fails(run, tmp_path, capsys, f"{run}/none.pth can not be found", checkpoint="none.pth")

    def test_plain_config(self, run, tmp_path, capsys):
        message = (
            "the config's model is EncoderDecoder, not a semi-supervised method; give the config"
        )
        self.fails(run, tmp_path, capsys, message, config="plain.py")

    def test_plain_checkpoint(self, run, tmp_path, capsys):
        plain = export(run, tmp_path / "plain.pth")
        message = "the checkpoint has no weights under 'teacher.module.segmentor.', so it is not"
        self.fails(run, tmp_path, capsys, message, checkpoint=plain)

    def test_file_of_another_kind(self, run, tmp_path, capsys):
        text = tmp_path / "text.pth"
        text.write_text("weights")
        message = f"'{text}' of 7 bytes is truncated or not a PyTorch checkpoint; use"
        self.fails(run, tmp_path, capsys, message, checkpoint=text)
        torch.save([1], text)
        message = f"'{text}' is not a checkpoint: it holds a list"
        self.fails(run, tmp_path, capsys, message, checkpoint=text)

    def test_config_of_another_run(self, run, tmp_path, capsys):
        config = Config.fromfile(run / "wrapped.py")
        config.model.segmentor.decode_head.num_classes = 7
        config.dump(str(tmp_path / "other.py"))
        message = "the checkpoint does not fit the segmentor of the config: "
        self.fails(run, tmp_path, capsys, message, config=tmp_path / "other.py")

    def test_out_is_the_checkpoint(self, run, capsys):
        checkpoint = run / "work/iter_3.pth"
        before = checkpoint.stat().st_mtime_ns
        with pytest.raises(SystemExit, match="2"):
            export(run, checkpoint)
        assert "out would replace the checkpoint" in capsys.readouterr().err
        assert checkpoint.stat().st_mtime_ns == before

    def test_out_is_a_folder(self, run, tmp_path, capsys):
        with pytest.raises(SystemExit, match="2"):
            export(run, tmp_path)
        assert f"out must be a file, but '{tmp_path}' is a folder" in capsys.readouterr().err

    def test_role(self, run, tmp_path, capsys):
        with pytest.raises(SystemExit, match="2"):
            export(run, tmp_path / "out.pth", "--from", "both")
        assert "U2PL has the networks teacher, student, but none called 'both'" in (
            capsys.readouterr().err
        )


@pytest.fixture(autouse=True)
def scope():
    init_default_scope("mmseg")
