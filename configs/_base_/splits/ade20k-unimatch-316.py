# UniMatch V2's lists: 316 labeled and 19894 unlabeled images; see docs/configs.md.
labeled = dict(ann_file="splits/unimatch/1_64/labeled.txt")
unlabeled = dict(ann_file="splits/unimatch/1_64/unlabeled.txt")
