# The authors' lists: 5291 labeled and 5291 unlabeled images; docs/configs.md says how to get them.
labeled = dict(ann_file="ImageSets/u2pl/5291/labeled.txt")
unlabeled = dict(ann_file="ImageSets/u2pl/5291/unlabeled.txt")
