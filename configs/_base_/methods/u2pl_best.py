# The paper's rules and what has gained beyond them: docs/results_camvid.md.
_base_ = "./u2pl.py"
method = dict(distribution_alignment=True, entropy_filter=False)
