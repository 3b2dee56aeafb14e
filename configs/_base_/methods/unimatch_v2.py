# UniMatch V2; tau=0.0 takes every label, as on street scenes.
_base_ = "./u2pl.py"
method = dict(_delete_=True, type="UniMatchV2", contrastive_head=None, projector=None)
