_base_ = [
    "mmseg::deeplabv3/deeplabv3_r50-d8_4xb4-80k_coco-stuff164k-512x512.py",
    "../_base_/splits/coco-stuff164k-1of16.py",
    "../_base_/u2pl_warmup.py",
]
model = dict(_delete_=True, type="U2PL", segmentor=_base_.model, **_base_.u2pl)
labeled = dict(_base_.train_dataloader.dataset, **_base_.labeled)
train_dataloader = dict(
    batch_size=8,  # 4 labeled, 4 unlabeled
    sampler=dict(_delete_=True, type="DualStreamSampler"),
    dataset=dict(_delete_=True, type="SemiDataset", labeled=labeled, unlabeled=_base_.unlabeled),
)
optim_wrapper = dict(constructor="StudentOptimWrapperConstructor")
