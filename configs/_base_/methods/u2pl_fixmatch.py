# FixMatch (see fixmatch.py) with pixels below its threshold as negatives, as in U2PL.
_base_ = "./u2pl.py"
method = dict(_delete_=True, type="FixMatch", contrastive_head=dict())
