# Which switches help on CamVid at 240 x 180. Each run changes one of U2PL's switches, or two
# that belong together. The runs are arms like the "late" ones of camvid.py, which runs first, and
# compare with its "1/8 late U2PL paper".
#   python dev/run_benchmark.py dev/benchmarks/camvid_switches.py
SWITCHES = {
    "mixing=classmix": {"model.mixing": "classmix"},
    "photometric": {"model.photometric.strength": 0.5},
    "entropy_filter=False": {"model.entropy_filter": False},
    "alpha_0=0.5": {"model.alpha_0": 0.5},
    "teacher.decay=0.997": {"model.teacher.decay": 0.997},
    "teacher.decay=0.98": {"model.teacher.decay": 0.98},
    "contra_weight=1": {"model.contra_weight": 1.0},
    "num_anchors=256, num_negatives=50": {
        "model.contrastive_head.num_anchors": 256,
        "model.contrastive_head.num_negatives": 50,
    },
}
options = {
    "load_from": "{root}/../camvid/1-8_long_sup-only/seed{seed}/iter_4000.pth",
    "default_hooks.mean_teacher.sup_only_iters": 0,
    "optim_wrapper.optimizer.lr": 0.001,
    "train_cfg.max_iters": 1000,
    "train_cfg.val_interval": 250,
    "param_scheduler.0.end": 1000,
    "default_hooks.checkpoint.interval": 1000,
}
runs = [
    dict(
        name=name,
        config="configs/u2pl/u2pl_deeplabv3plus_efficientnet-lite0-s5_1xb8-demo_"
        "camvid-240x180-1of8-128x128.py",
        seeds=[0, 1, 2],
        options=changes,
    )
    for name, changes in SWITCHES.items()
]
