# FixMatch with an EMA teacher; tau=0.0 uses every label, as UniMatch does on street scenes.
_base_ = "./u2pl.py"
method = dict(_delete_=True, type="FixMatch", contrastive_head=None, projector=None)
