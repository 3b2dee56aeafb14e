# The paper's rules with improvements; see docs/results_camvid.md.
_base_ = "./u2pl.py"
method = dict(distribution_alignment=True, entropy_filter=False)
