# What semi-supervised training gains on CamVid at half of its size, in three shares of labeled
# frames. In each, a supervised model is trained first ("start"); all arms go on from it, for as
# long. docs/datasets.md says how to get the data.
#   python tools/run_benchmark.py configs/benchmarks/camvid.py --out docs/results/camvid
NAME = "deeplabv3plus_efficientnet-lite0-s5"
SUP_ONLY = f"configs/suponly/suponly_{NAME}_1xb4-demo_camvid-240x180-1of8-128x128.py"
U2PL = f"configs/u2pl/u2pl_{NAME}_1xb8-demo_camvid-240x180-1of8-128x128.py"
SEEDS = {"1/8": [0, 1, 2], "1/16": [0], "1/4": [0]}
ARMS = {
    "Mean Teacher": {"model.mixing": "none", "model.contra_weight": 0.0},
    "CutMix + Mean Teacher": {"model.contra_weight": 0.0},
    "U2PL paper": {},
    "U2PL reference": {"model.variant": "reference"},
}


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
    return "{root}/" + share.replace("/", "-") + "_start/seed{seed}/iter_700.pth"


runs = []
for _share in SEEDS:
    runs.append(sup_only(_share, "start"))
    runs.append(sup_only(_share, "sup-only", load_from=start_of(_share)))
    for _arm, _options in ARMS.items():
        runs.append(semi(_share, _arm, **_options))
del _share, _arm, _options
