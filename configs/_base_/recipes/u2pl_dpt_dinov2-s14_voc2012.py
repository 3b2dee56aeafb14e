# U2PL, trained like UniMatch V2; the first epoch uses only labeled images.
_base_ = "./unimatch_v2_dpt_dinov2-s14_voc2012.py"
model = dict(_delete_=True, type="U2PL", segmentor=_base_.model.segmentor)
default_hooks = dict(mean_teacher=dict(type="MeanTeacherHook", sup_only_epochs=1))
