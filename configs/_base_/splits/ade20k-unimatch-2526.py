# UniMatch V2's lists: 2526 labeled and 17684 unlabeled images; see docs/configs.md.
labeled = dict(ann_file="splits/unimatch/1_8/labeled.txt")
unlabeled = dict(ann_file="splits/unimatch/1_8/unlabeled.txt")
