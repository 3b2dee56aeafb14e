_base_ = [
    "../_base_/recipes/upernet_convnext-v2-tiny_ade20k.py",
    "../_base_/splits/ade20k-1of8.py",
    "../_base_/methods/u2pl.py",
]
custom_imports = dict(imports=["mmseg_u2pl", "mmpretrain.models"])
model = dict(_delete_=True, segmentor=_base_.model, **_base_.method)
labeled = dict(_base_.train_dataloader.dataset, **_base_.labeled)
train_dataloader = dict(
    batch_size=4,  # 2 labeled, 2 unlabeled
    sampler=dict(_delete_=True, type="DualStreamSampler"),
    dataset=dict(_delete_=True, type="SemiDataset", labeled=labeled, unlabeled=_base_.unlabeled),
)
optim_wrapper = dict(constructor="StudentOptimWrapperConstructor")
# 8000 iterations at the start use the labeled images alone.
default_hooks = dict(
    _base_.method_hooks, mean_teacher=dict(type="MeanTeacherHook", sup_only_iters=8000)
)
