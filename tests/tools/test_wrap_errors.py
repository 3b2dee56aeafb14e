"""tools/misc/wrap_config.py: configs that it refuses."""

from pathlib import Path

import pytest

from datatrees import load_tool
from plain_training import (
    PIPELINE,
    plain_config,
    write_config,
    write_list,
    write_plain,
)
from wrapping_parts import fails, wrap


class TestErrors:
    def test_config(self, root, tmp_path, capsys):
        fails(capsys, "cannot read the config 'none.py'", "none.py")
        Path("broken.py").write_text("model = dict(")
        fails(capsys, "cannot read the config 'broken.py'", "broken.py")
        Path("new.py").write_text("from mmseg.models import UNet\nmodel = dict(type=UNet)\n")
        message = "cannot read the config 'new.py': The configuration file type in the inheritance"
        fails(capsys, message, "new.py")
        Path("empty.py").write_text("train_cfg = dict(max_iters=3)")
        fails(capsys, "the config 'empty.py' has no model", "empty.py")
        no_training = write_plain(tmp_path / "test.py", root, train_dataloader=None)
        fails(capsys, f"the config '{no_training}' has no train_dataloader", no_training)
        no_length = write_plain(tmp_path / "endless.py", root, train_cfg=dict(by_epoch=True))
        fails(capsys, "train_cfg has no max_epochs; set it", no_length)

    def test_wrapped_twice(self, root, capsys):
        wrap(write_plain("plain.py", root))
        Path("out/wrapped.py").rename("out/first.py")
        message = "the model of 'out/first.py' is U2PL, which already wraps a segmentor"
        fails(capsys, message, "out/first.py")

    def test_existing_file_stays(self, root, capsys):
        Path("mine.py").write_text("mine")
        arguments = ["mine.py", "--labeled", "data/labeled.txt", "-o", "mine.py"]
        with pytest.raises(SystemExit, match="2"):
            load_tool("wrap_config").main(arguments)
        assert "error: mine.py already exists; remove it" in capsys.readouterr().err
        assert Path("mine.py").read_text() == "mine"

    def test_name_without_suffix(self, root, capsys):
        arguments = ["gone.py", "--labeled", "gone.txt", "-o", "mine"]
        with pytest.raises(SystemExit, match="2"):
            load_tool("wrap_config").main(arguments)
        message = "error: -o/--out: the name of a config ends in .py, got 'mine'"
        assert message in capsys.readouterr().err

    def test_lists(self, root, capsys):
        plain = write_plain("plain.py", root)
        fails(capsys, "--unlabeled is needed: a list of unlabeled images", plain, unlabeled=())
        fails(
            capsys,
            "--labeled: there is no list 'labeled.txt' in the current folder; give a path from",
            plain,
            labeled=["labeled.txt"],
        )
        lists = [write_list(root / f"{number}.txt", "a") for number in (1, 2)]
        fails(capsys, "--labeled: got 2 lists, but the training data have 1", plain, labeled=lists)
        write_list(root / "labeled.txt", ["a.jpg"])
        fails(capsys, "labeled: 2 listed files are not on disk", plain)
        write_list(root / "labeled.txt", "abc")
        fails(capsys, "1 images are both in labeled and in unlabeled", plain)

    def test_labeled_images_in_the_folder_of_unlabeled_ones(self, root, capsys):
        plain = write_plain("plain.py", root)
        with pytest.raises(SystemExit, match="2"):
            wrap(plain, unlabeled=["data/images"])
        error = capsys.readouterr().err
        assert "2 images are both in labeled and in unlabeled" in error
        assert "Replace a folder that contains them by a list" in error

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (dict(data_root="data"), "the data set type None is not registered"),
            (dict(type="NoSuchDataset"), "the data set type 'NoSuchDataset' is not registered"),
            (
                dict(type="ClassBalancedDataset", oversample_thr=0.1, dataset=dict()),
                "the training data are wrapped in a ClassBalancedDataset, which mixes or selects",
            ),
            (dict(type="LEVIRCDDataset"), "LEVIRCDDataset is not a BaseSegDataset"),
        ],
    )
    def test_data_sets(self, root, capsys, changes, message):
        plain = plain_config(root)
        plain.train_dataloader.dataset = changes
        write_config("plain.py", plain)
        fails(capsys, message, "plain.py")

    def test_folder_where_a_list_is_needed(self, root, capsys):
        plain = plain_config(root)
        plain.train_dataloader.dataset.update(type="PascalVOCDataset", ann_file="labeled.txt")
        del plain.train_dataloader.dataset.metainfo  # the data set type has its own classes
        write_config("plain.py", plain)
        message = "--unlabeled: PascalVOCDataset needs a list of names, got the folder"
        fails(capsys, message, "plain.py", unlabeled=["data/images"])

    def test_model(self, root, capsys):
        plain = plain_config(root)
        plain.model.decode_head.in_index = [0, 1]
        write_config("plain.py", plain)
        fails(capsys, "cannot build U2PL around this model: AssertionError", "plain.py")

    def test_pipeline(self, root, capsys):
        plain = plain_config(root)
        plain.train_dataloader.dataset.pipeline = [dict(type="NoSuchTransform"), *PIPELINE]
        write_config("plain.py", plain)
        fails(capsys, "cannot build the training data: KeyError", "plain.py")
        needs_masks = dict(type="NeedsMaskFile")
        plain.train_dataloader.dataset.pipeline = [*PIPELINE[:2], needs_masks, PIPELINE[-1]]
        write_config("plain.py", plain)
        fails(capsys, "the pipeline of the unlabeled images fails on", "plain.py")

    def test_number_of_classes(self, root, capsys):
        plain = plain_config(root)
        plain.model.decode_head.num_classes = 4
        write_config("plain.py", plain)
        fails(capsys, "The model has num_classes=4, but the labeled data set has 5", "plain.py")
