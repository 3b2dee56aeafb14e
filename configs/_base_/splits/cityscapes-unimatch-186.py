# UniMatch's lists, not U2PL's: 186 labeled and 2789 unlabeled images; see docs/configs.md.
labeled = dict(ann_file="splits/unimatch/1_16/labeled.txt")
unlabeled = dict(ann_file="splits/unimatch/1_16/unlabeled.txt")
