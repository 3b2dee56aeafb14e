# UniMatch on Cityscapes: a single learning rate, halved as on VOC.
_base_ = "./schedule_200e_cityscapes.py"
optim_wrapper = dict(optimizer=dict(lr=0.0025, weight_decay=0.0002))
param_scheduler = [
    dict(
        type="PolyLR",
        eta_min=0.0,
        power=0.9,
        begin=0,
        end=240,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(max_epochs=240)
