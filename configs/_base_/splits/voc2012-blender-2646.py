# The authors' lists: 2646 labeled and 7936 unlabeled images; docs/configs.md says how to get them.
labeled = dict(ann_file="ImageSets/u2pl/2646/labeled.txt")
unlabeled = dict(ann_file="ImageSets/u2pl/2646/unlabeled.txt")
