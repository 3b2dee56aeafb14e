# UniMatch V2 (see unimatch_v2.py) with pixels below its threshold as negatives, as in U2PL.
_base_ = "./u2pl.py"
method = dict(_delete_=True, type="UniMatchV2", contrastive_head=dict())
