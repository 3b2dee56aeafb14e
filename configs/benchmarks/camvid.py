# What semi-supervised training gains on CamVid, in three shares of labeled frames. In each, a
# supervised model is trained first ("start"); all arms go on from it, for as long. docs/datasets.md
# says how to get the data.
#   python tools/run_benchmark.py configs/benchmarks/camvid.py --out docs/results/camvid
NAME = "deeplabv3plus_efficientnet-lite0-d16"
SUP_ONLY = f"configs/suponly/suponly_{NAME}_1xb4-1k_camvid-1of8-192x192.py"
U2PL = f"configs/u2pl/u2pl_{NAME}_1xb8-1k_camvid-1of8-192x192.py"
SEEDS = {"1/8": [0, 1, 2], "1/16": [0], "1/4": [0]}
ARMS = {
    "Mean Teacher": {"model.mixing": "none", "model.contra_weight": 0.0},
    "CutMix + Mean Teacher": {"model.contra_weight": 0.0},
    "U2PL paper": {},
    "U2PL reference": {"model.variant": "reference"},
}
options = {"train_cfg.val_interval": 500, "default_hooks.checkpoint.interval": 500}


def sup_only(share, name, **options):
    """A run with the labeled frames alone."""
    labeled = f"splits/{share.replace('/', 'of')}/labeled.txt"
    options = {"train_dataloader.dataset.ann_file": labeled, **options}
    return dict(name=f"{share} {name}", config=SUP_ONLY, seeds=SEEDS[share], options=options)


def semi(share, name, **options):
    """A run with the unlabeled frames, that goes on from the supervised model."""
    split = f"splits/{share.replace('/', 'of')}"
    options = {
        "train_dataloader.dataset.labeled.ann_file": f"{split}/labeled.txt",
        "train_dataloader.dataset.unlabeled.ann_file": f"{split}/unlabeled.txt",
        "load_from": start_of(share),
        "custom_hooks.1.sup_only_iters": 0,
        **options,
    }
    return dict(name=f"{share} {name}", config=U2PL, seeds=SEEDS[share], options=options)


def start_of(share):
    return "{root}/" + share.replace("/", "-") + "_start/seed{seed}/iter_1000.pth"


runs = []
for _share in SEEDS:
    runs.append(sup_only(_share, "start"))
    runs.append(sup_only(_share, "sup-only", load_from=start_of(_share)))
    for _arm, _options in ARMS.items():
        runs.append(semi(_share, _arm, **_options))
del _share, _arm, _options
