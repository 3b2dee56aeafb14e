_base_ = [
    "../_base_/recipes/dpt_dinov2-s14_ade20k.py",
    "../_base_/splits/ade20k-1of8.py",
    "../_base_/u2pl_warmup.py",
]
custom_imports = dict(imports=["mmseg_u2pl", "mmpretrain.models"])
model = dict(_delete_=True, type="U2PL", segmentor=_base_.model, **_base_.u2pl)
labeled = dict(_base_.train_dataloader.dataset, **_base_.labeled)
train_dataloader = dict(
    batch_size=4,  # 2 labeled, 2 unlabeled
    sampler=dict(_delete_=True, type="DualStreamSampler"),
    dataset=dict(_delete_=True, type="SemiDataset", labeled=labeled, unlabeled=_base_.unlabeled),
)
optim_wrapper = dict(constructor="StudentOptimWrapperConstructor")
