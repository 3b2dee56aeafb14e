# The labeled and the unlabeled images; 100 of 1000 iterations use the labeled ones alone.
_base_ = "./suponly.py"
model = dict(_delete_=True, type="U2PL", segmentor=_base_.model)
train_dataloader = dict(
    batch_size=8,  # 4 labeled, 4 unlabeled
    sampler=dict(_delete_=True, type="DualStreamSampler"),
    dataset=dict(
        _delete_=True,
        type="SemiDataset",
        labeled=_base_.train_dataloader.dataset,
        unlabeled=_base_.unlabeled,
    ),
)
val_cfg = dict(type="TeacherStudentValLoop")
custom_hooks = [
    dict(type="DataCheckHook"),
    dict(type="MeanTeacherHook", sup_only_iters=100),
    dict(type="SemiStatisticsHook"),
    dict(type="LossCheckHook"),
]
