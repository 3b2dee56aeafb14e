_base_ = "./dpt_dinov2-s14.py"
model = dict(decode_head=dict(num_classes=21))
