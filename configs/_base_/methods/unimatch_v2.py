# UniMatch V2; contrastive_head=dict() adds U2PL's loss for pixels below the threshold.
_base_ = "./u2pl.py"
method = dict(_delete_=True, type="UniMatchV2", contrastive_head=None, projector=None)
