# UniMatch V2; tau=0.0 uses every label, as its authors do on street scenes.
_base_ = "./u2pl.py"
method = dict(_delete_=True, type="UniMatchV2", contrastive_head=None, projector=None)
