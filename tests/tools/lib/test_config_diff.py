from copy import deepcopy

from mmengine.config import Config

from mmseg_u2pl_tools.report.config_diff import compare_configs

NET = dict(type="EncoderDecoder", decode_head=dict(type="FCNHead", num_classes=5))
IMAGES = dict(type="BaseSegDataset", ann_file="labeled.txt", pipeline=[dict(type="Resize")])
PLAIN = dict(
    model=NET,
    train_dataloader=dict(batch_size=2, dataset=IMAGES),
    train_cfg=dict(max_iters=9),
    work_dir="plain",
    crop_size=(8, 8),  # a variable of the config file, which no runner reads
)
SEMI = dict(
    model=dict(type="FixMatch", segmentor=NET, tau=0.9),
    train_dataloader=dict(
        batch_size=4,
        dataset=dict(type="SemiDataset", labeled=IMAGES, unlabeled=dict(ann_file="unlabeled.txt")),
    ),
    train_cfg=dict(max_iters=9),
    work_dir="semi",
)


def changed(config, **changes):
    """A config with other values at dotted keys, whose dots are written as __."""
    copy = Config(deepcopy(config))
    copy.merge_from_dict({key.replace("__", "."): value for key, value in changes.items()})
    return copy


def test_a_method_differs_from_plain_training_by_its_own_keys():
    assert compare_configs([PLAIN, SEMI]) == [
        ("model.type", ["-", "'FixMatch'"]),
        ("model.tau", ["-", "0.9"]),
        ("train_dataloader.batch_size", ["2", "4"]),
        ("train_dataloader.dataset.type", ["-", "'SemiDataset'"]),
        ("train_dataloader.dataset.unlabeled", ["-", "{'ann_file': 'unlabeled.txt'}"]),
    ]


def test_values_inside_of_lists_and_of_segmentors():
    other = changed(
        SEMI,
        model__segmentor__decode_head__num_classes=6,
        train_dataloader__dataset__labeled__pipeline=[dict(type="Resize", scale=(4, 4))],
        train_cfg__max_iters=7,
    )
    labeled = "train_dataloader.dataset.labeled"
    assert compare_configs([changed(SEMI), other]) == [
        ("segmentor.decode_head.num_classes", ["5", "6"]),
        (f"{labeled}.pipeline.0.scale", ["-", "[4, 4]"]),
        ("train_cfg.max_iters", ["9", "7"]),
    ]


def test_lists_of_other_lengths_are_whole():
    other = changed(PLAIN, train_dataloader__dataset__pipeline=[])
    (row,) = compare_configs([PLAIN, other])
    assert row == ("train_dataloader.dataset.labeled.pipeline", ["[{'type': 'Resize'}]", "[]"])


def test_configs_are_left_as_they_are_and_equal_ones_have_no_rows():
    config = changed(SEMI)
    assert compare_configs([config, config, changed(SEMI)]) == []
    assert config.to_dict() == SEMI
