# The authors' lists: 732 labeled and 9850 unlabeled images; docs/configs.md says how to get them.
labeled = dict(ann_file="ImageSets/u2pl/732/labeled.txt")
unlabeled = dict(ann_file="ImageSets/u2pl/732/unlabeled.txt")
