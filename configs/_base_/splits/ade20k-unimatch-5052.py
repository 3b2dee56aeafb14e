# UniMatch V2's lists: 5052 labeled and 15158 unlabeled images; see docs/configs.md.
labeled = dict(ann_file="splits/unimatch/1_4/labeled.txt")
unlabeled = dict(ann_file="splits/unimatch/1_4/unlabeled.txt")
