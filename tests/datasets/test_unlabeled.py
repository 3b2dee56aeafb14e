"""The unlabeled config derived from the labeled one."""

import pytest
from mmseg.datasets.transforms import LoadAnnotations

from mmseg_u2pl.datasets.errors import DataError
from mmseg_u2pl.datasets.unlabeled import complete_unlabeled, strip_ground_truth

LABELED = dict(
    type="BaseSegDataset",
    data_root="root",
    data_prefix=dict(img_path="images", seg_map_path="labels"),
    ann_file="labeled.txt",
    pipeline=[
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations", reduce_zero_label=True),
        dict(type="RandomCrop", crop_size=(8, 8), cat_max_ratio=0.75),
        dict(type="PackSegInputs"),
    ],
)


def test_what_is_left_out_is_taken_from_the_labeled_config():
    assert complete_unlabeled(LABELED, dict(ann_file="unlabeled.txt")) == dict(
        type="BaseSegDataset",
        data_root="root",
        data_prefix=dict(img_path="images"),
        ann_file="unlabeled.txt",
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="MarkImagePixels"),
            dict(type="RandomCrop", crop_size=(8, 8)),
            dict(type="PackSegInputs"),
            dict(type="HideGroundTruth"),
        ],
    )
    # The labeled config is not changed by it.
    assert LABELED["data_prefix"]["seg_map_path"] == "labels"
    assert LABELED["pipeline"][2]["cat_max_ratio"] == 0.75


def test_what_is_given_stays():
    unlabeled = dict(data_prefix=dict(img_path="more"), pipeline=[dict(type="PackSegInputs")])
    completed = complete_unlabeled(LABELED, unlabeled | dict(ann_file="more.txt"))
    assert completed == LABELED | unlabeled | dict(ann_file="more.txt")


@pytest.mark.parametrize("place", [dict(data_root="more"), dict(data_prefix=dict(img_path="more"))])
def test_what_selects_labeled_images_selects_no_unlabeled_ones(place):
    few = dict(LABELED, indices=4)
    assert "ann_file" not in complete_unlabeled(few, place)
    listed = complete_unlabeled(few, dict(ann_file="unlabeled.txt"))
    assert "indices" not in listed
    assert listed["ann_file"] == "unlabeled.txt"


def test_config_with_a_type_is_complete():
    unlabeled = dict(type="BaseSegDataset", ann_file="unlabeled.txt")
    assert complete_unlabeled(LABELED, unlabeled) == unlabeled


def test_wrapped_transforms_are_stripped_too():
    flip = dict(type="RandomFlip", prob=0.5)
    edge = dict(type="GenerateEdge")
    crop = dict(type="RandomCrop", crop_size=(8, 8))
    pipeline = [
        dict(type="RandomApply", transforms=[edge, flip], prob=0.5),
        dict(type="RandomChoice", transforms=[[flip, edge], [dict(crop, cat_max_ratio=0.5)]]),
    ]
    assert strip_ground_truth(pipeline) == [
        dict(type="RandomApply", transforms=[flip], prob=0.5),
        dict(type="RandomChoice", transforms=[[flip], [crop]]),
    ]


def test_a_pipeline_that_loads_no_masks_has_none_to_hide():
    pipeline = [dict(type="LoadImageFromFile"), dict(type="PackSegInputs")]
    completed = complete_unlabeled(dict(LABELED, pipeline=pipeline), dict(ann_file="u.txt"))
    assert completed["pipeline"] == pipeline


def test_nothing_to_derive_from():
    with pytest.raises(DataError, match=r"Set a complete config for unlabeled, with a type"):
        complete_unlabeled(dict(type="ConcatDataset", datasets=[LABELED]), dict(ann_file="u.txt"))


def test_masks_are_kept_but_hidden_to_score_pseudo_labels():
    unlabeled = dict(ann_file="unlabeled.txt", score_pseudo_labels=True)
    completed = complete_unlabeled(LABELED, unlabeled)
    assert completed == LABELED | dict(
        ann_file="unlabeled.txt",
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", reduce_zero_label=True),
            dict(type="MarkImagePixels"),
            # The position of a crop must not depend on masks.
            dict(type="RandomCrop", crop_size=(8, 8)),
            dict(type="PackSegInputs"),
            dict(type="HideGroundTruth"),
        ],
    )
    assert unlabeled["score_pseudo_labels"]


def test_a_wrapper_of_a_single_transform():
    wrapper = dict(type="RandomApply", transforms=dict(type="LoadAnnotations"), prob=0.5)
    assert strip_ground_truth([wrapper]) == [dict(wrapper, transforms=[])]


def test_transforms_given_as_classes():
    pack = dict(type="PackSegInputs")
    load = dict(type=LoadAnnotations)
    assert strip_ground_truth([load, pack]) == [pack]
    mark, hide = dict(type="MarkImagePixels"), dict(type="HideGroundTruth")
    completed = complete_unlabeled(dict(LABELED, pipeline=[load, pack]), dict(ann_file="u.txt"))
    assert completed["pipeline"] == [mark, pack, hide]
