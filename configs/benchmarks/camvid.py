# What semi-supervised training gains on CamVid at half of its size, in three shares of labeled
# frames. In each, a supervised model is trained first ("start"); all arms go on from it, for as
# long. "all" is supervised training with every frame labeled, the most there is to gain.
# docs/datasets.md says how to get the data.
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
START_ITERS, ARM_ITERS = 1400, 1000


def schedule(lr, iters):
    """From `lr` to zero; 0.0005, that of the demo, is far from done after 1,400 iterations."""
    return {
        "optim_wrapper.optimizer.lr": lr,
        "train_cfg.max_iters": iters,
        "train_cfg.val_interval": iters // 4,
        "param_scheduler.0.end": iters,
        "default_hooks.checkpoint.interval": iters,
    }


def labeled_frames(share):
    """The frames that the labeled runs of a share use."""
    if share == "all":
        return {
            "train_dataloader.dataset.ann_file": "",
            "train_dataloader.dataset.data_prefix.img_path": "images/train",
            "train_dataloader.dataset.data_prefix.seg_map_path": "labels/train",
        }
    return {"train_dataloader.dataset.ann_file": f"splits/{share.replace('/', 'of')}/labeled.txt"}


def start_of(share):
    """Where the checkpoint of the supervised model is."""
    return f"{{root}}/{share.replace('/', '-')}_start/seed{{seed}}/iter_{START_ITERS}.pth"


def sup_only(share, name, options):
    """A run with the labeled frames alone."""
    seeds = SEEDS.get(share, [0])
    options = {**labeled_frames(share), **options}
    return dict(name=f"{share} {name}", config=SUP_ONLY, seeds=seeds, options=options)


def semi(share, name, options):
    """A run with the unlabeled frames, that goes on from the supervised model."""
    split = f"splits/{share.replace('/', 'of')}"
    options = {
        "train_dataloader.dataset.labeled.ann_file": f"{split}/labeled.txt",
        "train_dataloader.dataset.unlabeled.ann_file": f"{split}/unlabeled.txt",
        "load_from": start_of(share),
        "custom_hooks.1.sup_only_iters": 0,
        **schedule(0.001, ARM_ITERS),
        **options,
    }
    return dict(name=f"{share} {name}", config=U2PL, seeds=SEEDS[share], options=options)


runs = []
for _share in [*SEEDS, "all"]:
    _go_on = {"load_from": start_of(_share), **schedule(0.001, ARM_ITERS)}
    runs.append(sup_only(_share, "start", schedule(0.002, START_ITERS)))
    runs.append(sup_only(_share, "sup-only", _go_on))
    if _share in SEEDS:
        runs += [semi(_share, _arm, _options) for _arm, _options in ARMS.items()]
del _share, _go_on
