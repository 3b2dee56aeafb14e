# The method, with the paper's values. A config uses it as
#   model = dict(_delete_=True, type='U2PL', segmentor=_base_.model, **_base_.u2pl)
# with options of its own beside them, which docs/algorithm.md lists, or takes them from the command
# line: --cfg-options model.mixing=classmix model.contrastive_head.num_anchors=256
custom_imports = dict(imports=["mmseg_u2pl"], allow_failed_imports=False)
u2pl = dict(variant="paper")
custom_hooks = [
    dict(type="DataCheckHook"),
    dict(type="MeanTeacherHook", sup_only_iters=0),
    dict(type="SemiStatisticsHook"),
    dict(type="LossCheckHook"),
]
