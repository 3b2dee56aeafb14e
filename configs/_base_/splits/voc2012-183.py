# The authors' lists: 183 labeled and 10399 unlabeled images; docs/configs.md says how to get them.
labeled = dict(ann_file="ImageSets/u2pl/183/labeled.txt")
unlabeled = dict(ann_file="ImageSets/u2pl/183/unlabeled.txt")
