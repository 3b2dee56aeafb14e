_base_ = "../unimatch_v2/unimatch_v2_dpt_dinov2-b14_4xb4-60e_ade20k-unimatch-1263-518x518.py"
model = dict(type="FixMatch")
