# UniMatch's lists, not U2PL's: 744 labeled and 2231 unlabeled images; see docs/configs.md.
labeled = dict(ann_file="splits/unimatch/1_4/labeled.txt")
unlabeled = dict(ann_file="splits/unimatch/1_4/unlabeled.txt")
