_base_ = [
    "mmseg::ocrnet/ocrnet_hr48_4xb2-160k_cityscapes-512x1024.py",
    "../_base_/splits/cityscapes-1of8.py",
    "../_base_/u2pl_warmup.py",
]
model = dict(_delete_=True, type="U2PL", segmentor=_base_.model, **_base_.u2pl)
labeled = dict(_base_.train_dataloader.dataset, **_base_.labeled)
train_dataloader = dict(
    batch_size=4,  # 2 labeled, 2 unlabeled
    sampler=dict(_delete_=True, type="DualStreamSampler"),
    dataset=dict(_delete_=True, type="SemiDataset", labeled=labeled, unlabeled=_base_.unlabeled),
)
optim_wrapper = dict(constructor="StudentOptimWrapperConstructor")
