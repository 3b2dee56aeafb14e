# The authors' lists: 744 labeled and 2231 unlabeled images; docs/configs.md says how to get them.
labeled = dict(ann_file="splits/u2pl/744/labeled.txt")
unlabeled = dict(ann_file="splits/u2pl/744/unlabeled.txt")
