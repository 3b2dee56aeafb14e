# UniMatch's lists, not U2PL's: 372 labeled and 2603 unlabeled images; see docs/configs.md.
labeled = dict(ann_file="splits/unimatch/1_8/labeled.txt")
unlabeled = dict(ann_file="splits/unimatch/1_8/unlabeled.txt")
