# The authors' lists: 92 labeled and 10490 unlabeled images; docs/configs.md says how to get them.
labeled = dict(ann_file="ImageSets/u2pl/92/labeled.txt")
unlabeled = dict(ann_file="ImageSets/u2pl/92/unlabeled.txt")
