# UniMatch V2's lists: 631 labeled and 19579 unlabeled images; see docs/configs.md.
labeled = dict(ann_file="splits/unimatch/1_32/labeled.txt")
unlabeled = dict(ann_file="splits/unimatch/1_32/unlabeled.txt")
