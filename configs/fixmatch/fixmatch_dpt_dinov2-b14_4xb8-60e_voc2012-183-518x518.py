_base_ = "../unimatch_v2/unimatch_v2_dpt_dinov2-b14_4xb8-60e_voc2012-183-518x518.py"
model = dict(type="FixMatch")
