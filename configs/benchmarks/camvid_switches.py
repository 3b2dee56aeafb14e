# Which switches gain on CamVid at half of its size: each run changes one of U2PL's. They go on from
# the supervised models of camvid.py, which runs first and whose arms they compare with.
#   python tools/run_benchmark.py configs/benchmarks/camvid_switches.py
SWITCHES = {
    "photometric": {"model.photometric": True},
    "confidence_weight, entropy_filter=False": {
        "model.confidence_weight": True,
        "model.entropy_filter": False,
    },
    "entropy_filter=False": {"model.entropy_filter": False},
    "feature_dropout=0.5": {"model.feature_dropout": 0.5},
    "teacher.decay=0.997": {"model.teacher.decay": 0.997},
    "teacher.decay=0.98": {"model.teacher.decay": 0.98},
    "mixing=classmix": {"model.mixing": "classmix"},
    "contra_weight=1": {"model.contra_weight": 1.0},
    "positives=prototypes": {"model.contrastive_head.positives": "prototypes"},
    "normalize_positives": {"model.contrastive_head.normalize_positives": True},
    "num_anchors=256, num_negatives=50": {
        "model.contrastive_head.num_anchors": 256,
        "model.contrastive_head.num_negatives": 50,
    },
}
runs = []
for _name, _options in SWITCHES.items():
    runs.append(
        dict(
            name=_name,
            config="configs/u2pl/u2pl_deeplabv3plus_efficientnet-lite0-s5_1xb8-demo_"
            "camvid-240x180-1of8-128x128.py",
            seeds=[0],
            options={
                "load_from": "{root}/../camvid/1-8_start/seed{seed}/iter_700.pth",
                "custom_hooks.1.sup_only_iters": 0,
                **_options,
            },
        )
    )
del _name, _options
