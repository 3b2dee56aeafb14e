# "U2PL (w/ AEL)" of the paper's tables: AEL (see ael.py) with unreliable pixels as negatives.
_base_ = "./u2pl.py"
method = dict(_delete_=True, type="AEL", contrastive_head=dict())
