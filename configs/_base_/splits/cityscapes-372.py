# The authors' lists: 372 labeled and 2603 unlabeled images; docs/configs.md says how to get them.
labeled = dict(ann_file="splits/u2pl/372/labeled.txt")
unlabeled = dict(ann_file="splits/u2pl/372/unlabeled.txt")
