# AEL with the authors' values for Cityscapes. There, also exclude large classes from pasting:
#   method = dict(copy_paste=dict(never=[0, 1, 2, 8, 10]))
# On VOC:
#   method = dict(
#       tau=0.7, copy_paste=dict(num_classes=1), cutmix=dict(min_area=0.03, min_region=0.03)
#   )
_base_ = "./u2pl.py"
method = dict(_delete_=True, type="AEL", contrastive_head=None, projector=None)
