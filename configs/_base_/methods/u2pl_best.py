# The loss on unreliable pixels with aligned labels for all pixels, and the teacher and boxes of
# UniMatch V2; see docs/results.md. For photographs of objects, add photometric=dict().
_base_ = "./u2pl.py"
method = dict(
    distribution_alignment=True,
    entropy_filter=False,
    mixing="small_boxes",
    mixing_prob=0.5,
    teacher=dict(decay=0.996, statistics="averaged"),
)
