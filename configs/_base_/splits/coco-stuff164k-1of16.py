# 7393 labeled and 110894 unlabeled images; docs/configs.md says how to draw them.
labeled = dict(ann_file="splits/1of16/seed0/labeled.txt")
unlabeled = dict(ann_file="splits/1of16/seed0/unlabeled.txt")
