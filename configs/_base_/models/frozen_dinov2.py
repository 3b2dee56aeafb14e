# A frozen encoder; use it as
#   model = dict(segmentor=_base_.frozen)
#   optim_wrapper = _base_.frozen_optim
frozen = dict(backbone=dict(frozen_stages=12))
# The norm after the encoder is frozen with it.
frozen_optim = dict(paramwise_cfg=dict(custom_keys={"neck": dict(lr_mult=0.0, decay_mult=0.0)}))
