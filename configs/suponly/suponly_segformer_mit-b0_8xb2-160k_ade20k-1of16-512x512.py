_base_ = [
    "mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py",
    "../_base_/splits/ade20k-1of16.py",
    "../_base_/methods/supervised.py",
]
train_dataloader = dict(dataset=_base_.labeled)
default_hooks = _base_.method_hooks
