# What the authors' released code does where it differs from their paper: docs/algorithm.md.
_base_ = "./u2pl.py"
method = dict(
    type="U2PLReference",
    contra_weight=1.0,
    mixing_prob=0.5,
    teacher=dict(dropout=True),
    contrastive_head=dict(type="ReferenceContrastiveHead", num_anchors=256, num_negatives=50),
)
