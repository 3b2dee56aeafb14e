# Imports and hooks are written out, because two bases must not share a key.
_base_ = [
    "mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py",
    "../_base_/splits/ade20k-1of8.py",
]
custom_imports = dict(imports=["mmseg_u2pl", "mmpretrain.models"])
model = dict(_delete_=True, type="U2PL", segmentor=_base_.model)
labeled = dict(_base_.train_dataloader.dataset, **_base_.labeled)
train_dataloader = dict(
    batch_size=4,  # 2 labeled, 2 unlabeled
    sampler=dict(_delete_=True, type="DualStreamSampler"),
    dataset=dict(_delete_=True, type="SemiDataset", labeled=labeled, unlabeled=_base_.unlabeled),
)
optim_wrapper = dict(
    constructor="StudentOptimWrapperConstructor",
    paramwise_cfg=dict(constructor="LearningRateDecayOptimizerConstructor"),
)
default_hooks = dict(
    checkpoint=dict(type="SafeCheckpointHook"),
    data_check=dict(type="DataCheckHook"),
    mean_teacher=dict(type="MeanTeacherHook", sup_only_iters=8000),
    semi_statistics=dict(type="SemiStatisticsHook"),
    loss_check=dict(type="LossCheckHook"),
)
