_base_ = [
    "./unimatch_v2_dpt_dinov2-s14_4xb8-60e_voc2012-92-518x518.py",
    "../_base_/models/frozen_dinov2.py",
]
model = dict(segmentor=_base_.frozen)
optim_wrapper = _base_.frozen_optim
