# The authors' lists: 186 labeled and 2789 unlabeled images; docs/configs.md says how to get them.
labeled = dict(ann_file="splits/u2pl/186/labeled.txt")
unlabeled = dict(ann_file="splits/u2pl/186/unlabeled.txt")
