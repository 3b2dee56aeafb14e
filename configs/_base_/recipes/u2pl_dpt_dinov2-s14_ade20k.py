# U2PL, trained like UniMatch V2; the first 3 epochs use only labeled images.
_base_ = "./unimatch_v2_dpt_dinov2-s14_ade20k.py"
model = dict(_delete_=True, type="U2PL", segmentor=_base_.model.segmentor)
default_hooks = dict(mean_teacher=dict(type="MeanTeacherHook", sup_only_epochs=3))
