# The authors' lists: 366 labeled and 10216 unlabeled images; docs/configs.md says how to get them.
labeled = dict(ann_file="ImageSets/u2pl/366/labeled.txt")
unlabeled = dict(ann_file="ImageSets/u2pl/366/unlabeled.txt")
