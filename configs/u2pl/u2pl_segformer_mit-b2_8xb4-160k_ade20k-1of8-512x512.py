_base_ = [
    "mmseg::segformer/segformer_mit-b2_8xb2-160k_ade20k-512x512.py",
    "../_base_/splits/ade20k-1of8.py",
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
