# An encoder that is not trained; a config takes both as
#   model = dict(segmentor=_base_.frozen)
#   optim_wrapper = _base_.frozen_optim
frozen = dict(backbone=dict(frozen_stages=12))
# The norm after the encoder is a part of it.
frozen_optim = dict(paramwise_cfg=dict(custom_keys={"neck": dict(lr_mult=0.0, decay_mult=0.0)}))
