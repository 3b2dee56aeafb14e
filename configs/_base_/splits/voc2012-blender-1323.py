# The authors' lists: 1323 labeled and 9259 unlabeled images; docs/configs.md says how to get them.
labeled = dict(ann_file="ImageSets/u2pl/1323/labeled.txt")
unlabeled = dict(ann_file="ImageSets/u2pl/1323/unlabeled.txt")
