# The authors' lists: 662 labeled and 9920 unlabeled images; docs/configs.md says how to get them.
labeled = dict(ann_file="ImageSets/u2pl/662/labeled.txt")
unlabeled = dict(ann_file="ImageSets/u2pl/662/unlabeled.txt")
