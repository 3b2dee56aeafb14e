# The authors' lists: 1464 labeled and 9118 unlabeled images; docs/configs.md says how to get them.
labeled = dict(ann_file="ImageSets/u2pl/1464/labeled.txt")
unlabeled = dict(ann_file="ImageSets/u2pl/1464/unlabeled.txt")
