# U2PL with pseudo-labels for all pixels, aligned class frequencies, and the teacher and boxes of
# FixMatch. docs/results.md shows what this gains, and on which data photometric=dict() helps.
_base_ = "./u2pl.py"
method = dict(
    distribution_alignment=True,
    entropy_filter=False,
    mixing="small_boxes",
    mixing_prob=0.5,
    teacher=dict(decay=0.996, statistics="averaged"),
)
