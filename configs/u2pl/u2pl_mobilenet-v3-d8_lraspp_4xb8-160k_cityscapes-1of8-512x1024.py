# MMSegmentation's config has 320k in its name, but trains for 160k.
_base_ = [
    "mmseg::mobilenet_v3/mobilenet-v3-d8_lraspp_4xb4-320k_cityscapes-512x1024.py",
    "../_base_/splits/cityscapes-1of8.py",
    "../_base_/methods/u2pl.py",
]
model = dict(_delete_=True, segmentor=_base_.model, **_base_.method)
labeled = dict(_base_.train_dataloader.dataset, **_base_.labeled)
train_dataloader = dict(
    batch_size=8,  # 4 labeled, 4 unlabeled
    sampler=dict(_delete_=True, type="DualStreamSampler"),
    dataset=dict(_delete_=True, type="SemiDataset", labeled=labeled, unlabeled=_base_.unlabeled),
)
optim_wrapper = dict(constructor="StudentOptimWrapperConstructor")
# 8000 iterations at the start use the labeled images alone.
default_hooks = dict(
    _base_.method_hooks, mean_teacher=dict(type="MeanTeacherHook", sup_only_iters=8000)
)
