# The authors' lists: 1488 labeled and 1487 unlabeled images; docs/configs.md says how to get them.
labeled = dict(ann_file="splits/u2pl/1488/labeled.txt")
unlabeled = dict(ann_file="splits/u2pl/1488/unlabeled.txt")
