# UniMatch V2's lists: 1263 labeled and 18947 unlabeled images; see docs/configs.md.
labeled = dict(ann_file="splits/unimatch/1_16/labeled.txt")
unlabeled = dict(ann_file="splits/unimatch/1_16/unlabeled.txt")
