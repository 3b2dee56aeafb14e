# U2PL as in the authors' released code; docs/algorithm.md lists the differences from the paper.
_base_ = "./u2pl.py"
method = dict(
    type="U2PLReference",
    contra_weight=1.0,
    mixing_prob=0.5,
    teacher=dict(dropout=True),
    contrastive_head=dict(type="ReferenceContrastiveHead", num_anchors=256, num_negatives=50),
)
