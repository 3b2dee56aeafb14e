import pytest
import torch

from checked_runs import built, plain_config, run_config, set_mask, write_data
from datatrees import write_list
from mmseg_u2pl.checks import check_run
from mmseg_u2pl.datasets import DataError
from tiny import tiny_segmentor, tiny_u2pl


@pytest.fixture
def root(tmp_path):
    return write_data(tmp_path)


def check(run):
    check_run(run).raise_problems()


def fails(config, match):
    with pytest.raises(DataError, match=match):
        check(built(config))


def test_a_sliced_validation_set_is_left_out(root):
    config = run_config(root, **{"val_dataloader.num_batch_per_epoch": 1})
    write_list(root / "val.txt", "ab")
    check(built(config))


class TestFindings:
    def test_masks_of_unlabeled_images_do_not_matter(self, root):
        set_mask(root, "c", 11)
        (root / "labels" / "d.png").unlink()
        check(built(run_config(root)))

    @pytest.mark.parametrize(
        ("gone", "stream"),
        [
            ("labels/a.png", "labeled"),
            ("images/c.jpg", "unlabeled"),
            ("labels/f.png", "validation"),
        ],
    )
    def test_missing_file(self, root, gone, stream):
        (root / gone).unlink()
        fails(run_config(root), rf"^{stream}: 1 listed files .*\n.*{gone}")

    @pytest.mark.parametrize(
        ("name", "images", "match"),
        [
            ("unlabeled", "cdeb", r"1 images are both in labeled and in unlabeled:\n.*b\.jpg"),
            ("val", "fa", r"1 images are both in labeled and in validation:\n.*a\.jpg"),
            ("val", "fe", r"1 images are both in unlabeled and in validation:\n.*e\.jpg"),
            ("labeled", "aba", r"labeled: 1 images are listed more than once:\n.*a\.jpg"),
            ("val", "", r"validation: the split list .*val\.txt' is empty"),
            ("val", ["f", ""], r"validation: the split list .*val\.txt' has blank lines"),
        ],
    )
    def test_lists(self, root, name, images, match):
        write_list(root / f"{name}.txt", images)
        fails(run_config(root), match)

    def test_number_of_classes(self, root):
        fails(run_config(root, num_classes=19), "num_classes=19, but the labeled data set has 11")

    def test_number_of_classes_of_a_wrapped_model(self, root):
        runner = built(run_config(root, num_classes=19))
        runner.model = torch.nn.parallel.DataParallel(runner.model)
        with pytest.raises(DataError, match="num_classes=19"):
            check(runner)

    @pytest.mark.parametrize("cascade", [False, True])
    def test_ignored_value_of_the_decode_head(self, root, cascade):
        set_mask(root, "b", 255)
        runner = built(run_config(root))
        runner.model = tiny_u2pl(tiny_segmentor(11, ignore_index=254))
        if cascade:
            segmentor = runner.model.student.segmentor
            segmentor.decode_head = torch.nn.ModuleList(
                [torch.nn.Identity(), segmentor.decode_head]
            )
            runner.model.predict_with = "student"
        with pytest.raises(
            DataError, match=r"^labeled: 1 of 2 .*\n.*b.png: value 255, .*\nSet .*it is 254 there"
        ):
            check(runner)


class TestWithoutUnlabeledImages:
    def test_findings(self, root):
        set_mask(root, "b", 11)
        fails(plain_config(root), r"^training: 1 of 2 masks .*\n.*b\.png: values \[11\]")

    def test_a_model_for_both_kinds_needs_both(self, root):
        runner = built(plain_config(root))
        runner.model = tiny_u2pl()
        match = "dataset is a CamVidDataset, but the model .* Set dict.type='SemiDataset'"
        with pytest.raises(DataError, match=match):
            check(runner)


def test_all_problems_are_told_at_once(root):
    set_mask(root, "b", 11)
    set_mask(root, "g", 12)
    (root / "images/c.jpg").unlink()
    write_list(root / "val.txt", "fga")
    with pytest.raises(DataError) as caught:
        check(built(run_config(root, num_classes=19)))
    assert [problem.split(":")[0] for problem in str(caught.value).split("\n\n")] == [
        "The model has num_classes=19, but the labeled data set has 11 classes (sky, building, "
        "pole, road, sidewalk, tree, sign-symbol, fence, car, pedestrian, bicyclist). Set "
        "num_classes=11 in every head of the model, or change the classes in the data set's "
        "metainfo.",
        "unlabeled",
        "1 images are both in labeled and in validation",
        "labeled",
        "validation",
    ]


def test_a_config_is_checked_as_a_runner_is(root):
    config = run_config(root, **{"train_dataloader.batch_size": 3})
    config.model = dict(type="U2PL", segmentor=tiny_segmentor(5, ignore_index=254))
    set_mask(root, "b", 255)
    runner = built(run_config(root, **{"train_dataloader.batch_size": 3}))
    runner.model = tiny_u2pl(tiny_segmentor(5, ignore_index=254))
    problems = check_run(config).problems
    assert problems == check_run(runner).problems
    assert [problem.split()[0] for problem in problems] == ["The", "labeled:", "batch_size=3"]


def test_files_are_not_read_when_not_wanted(root):
    set_mask(root, "b", 11)
    runner = built(run_config(root))
    assert len(check_run(runner).problems) == 1
    report = check_run(runner, read_files=False)
    assert report.problems == report.warnings == []
