# UniMatch (V1), without a teacher; tau=0.0 uses every label, as its authors do on street scenes.
_base_ = "./u2pl.py"
method = dict(_delete_=True, type="UniMatch")
