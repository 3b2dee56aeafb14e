# UniMatch's lists, not U2PL's: 1488 labeled and 1487 unlabeled images; see docs/configs.md.
labeled = dict(ann_file="splits/unimatch/1_2/labeled.txt")
unlabeled = dict(ann_file="splits/unimatch/1_2/unlabeled.txt")
