_base_ = [
    "mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py",
    "../_base_/methods/u2pl.py",
]
model = dict(_delete_=True, segmentor=_base_.model, **_base_.method)
labeled = dict(_base_.train_dataloader.dataset, ann_file="splits/1of8/seed0/labeled.txt")
unlabeled = dict(ann_file="splits/1of8/seed0/unlabeled.txt")  # the rest as for labeled images
train_dataloader = dict(
    batch_size=4,  # 2 labeled, 2 unlabeled
    sampler=dict(_delete_=True, type="DualStreamSampler"),
    dataset=dict(_delete_=True, type="SemiDataset", labeled=labeled, unlabeled=unlabeled),
)
optim_wrapper = dict(constructor="StudentOptimWrapperConstructor")
# 8000 iterations at the start use the labeled images alone.
default_hooks = dict(
    _base_.method_hooks, mean_teacher=dict(type="MeanTeacherHook", sup_only_iters=8000)
)
