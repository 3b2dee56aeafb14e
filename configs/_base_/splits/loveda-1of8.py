# 316 labeled and 2206 unlabeled images; docs/configs.md says how to draw them.
labeled = dict(ann_file="splits/1of8/seed0/labeled.txt")
unlabeled = dict(ann_file="splits/1of8/seed0/unlabeled.txt")
