# When semi-supervised training helps on CamVid at 240 x 180. docs/results_camvid.md has the
# answer; docs/datasets.md says how to get the data.
#   python dev/run_benchmark.py dev/benchmarks/camvid.py --out docs/results/camvid
# For each share of labeled frames, a supervised model is trained first ("start"). Arms continue
# from it ("early"), for four times as long ("long"), or from the end of the long supervised run
# ("late").
# The shares are evenly spaced frames of all drives, or those of one drive, 0006R0. "all" labels
# every frame; "all labels" does so only in its 1,000 iterations, so it is no upper bound.
NAME = "deeplabv3plus_efficientnet-lite0-s5"
SUP_ONLY = f"configs/suponly/suponly_{NAME}_1xb4-demo_camvid-240x180-1of8-128x128.py"
U2PL = f"configs/u2pl/u2pl_{NAME}_1xb8-demo_camvid-240x180-1of8-128x128.py"
# Learning rate, which falls to zero, and iterations. With the demo's 0.0005, the supervised model
# is still far from converged after 1,400 iterations.
SCHEDULES = {
    "start": (0.002, 1400),
    "early": (0.001, 1000),
    "long": (0.001, 4000),
    "late": (0.001, 1000),
}
BEST_OPTIONS = {"model.distribution_alignment": True, "model.entropy_filter": False}
ARMS = {  # method, options
    "Mean Teacher": ("mean_teacher", {"model.mixing": "none"}),
    "CutMix + Mean Teacher": ("mean_teacher", {}),
    "U2PL paper": ("u2pl", {}),
    "U2PL reference": ("u2pl_reference", {}),
    "U2PL best": ("u2pl", BEST_OPTIONS),  # u2pl_best at that time
    # The parts of "best" one at a time, and other trials.
    "U2PL distribution_alignment": ("u2pl", {"model.distribution_alignment": True}),
    "CutMix + Mean Teacher, entropy_filter=False": (
        "mean_teacher",
        {"model.entropy_filter": False},
    ),
    "U2PL best, contra_weight=0": ("u2pl", {**BEST_OPTIONS, "model.contra_weight": 0.0}),
    "U2PL photometric": ("u2pl", {"model.photometric.strength": 0.5}),
}
SUP, ALL, CUTMIX = "sup-only", "all labels", "CutMix + Mean Teacher"
PAPER, BEST, ALIGNED = "U2PL paper", "U2PL best", "U2PL distribution_alignment"
PARTS = ["CutMix + Mean Teacher, entropy_filter=False", "U2PL best, contra_weight=0"]
COMPARED, ALSO = [SUP, CUTMIX, PAPER, ALIGNED, BEST], ["Mean Teacher", "U2PL reference"]
SEEDS = [0, 1, 2]
RUNS = [  # share, schedule, arms, seeds
    ("1/8", "start", [SUP], SEEDS),
    ("1/8", "long", [SUP], SEEDS),
    ("1/8", "late", [*COMPARED, *ALSO, *PARTS], SEEDS),
    ("1/8", "late", [ALL, "U2PL photometric"], [0]),
    ("0006R0", "start", [SUP], SEEDS),
    ("0006R0", "early", [*COMPARED, "U2PL photometric"], SEEDS),
    ("0006R0", "long", [SUP], [0]),
    ("1/8", "early", [SUP, CUTMIX, PAPER], [0]),
    ("1/8", "long", [PAPER], [0]),
    ("1/16", "start", [SUP], SEEDS[:2]),
    ("1/16", "early", [SUP, CUTMIX, PAPER], [0]),
    ("1/16", "long", [SUP], SEEDS[:2]),
    ("1/16", "late", [*COMPARED, *ALSO], SEEDS[:2]),
    ("1/4", "start", [SUP], SEEDS),
    ("1/4", "long", [SUP], SEEDS),
    ("1/4", "late", [*COMPARED, *ALSO], SEEDS),
    ("1/32", "start", [SUP], [0]),
    ("1/32", "long", [SUP], [0]),
    ("1/32", "late", [SUP, PAPER], [0]),
    ("all", "start", [SUP], [0]),
    ("all", "early", [SUP], [0]),
    ("all", "long", [SUP], [0]),
]


def options_of(share, schedule, arm):
    lr, iters = SCHEDULES[schedule]
    options = {
        "optim_wrapper.optimizer.lr": lr,
        "train_cfg.max_iters": iters,
        "train_cfg.val_interval": iters // (8 if schedule == "long" else 4),
        "param_scheduler.0.end": iters,
        "default_hooks.checkpoint.interval": iters,
        **frames_of(share, arm),
        **ARMS.get(arm, (None, {}))[1],
    }
    if schedule != "start":
        before = "long" if schedule == "late" else "start"
        folder = f"{share} {before} sup-only".replace("/", "-").replace(" ", "_")
        checkpoint = f"iter_{SCHEDULES[before][1]}.pth"
        options["load_from"] = f"{{root}}/{folder}/seed{{seed}}/{checkpoint}"
    return options


def frames_of(share, arm):
    dataset = "train_dataloader.dataset"
    if share == "all" or arm == ALL:
        return {
            f"{dataset}.ann_file": "",
            f"{dataset}.data_prefix.img_path": "images/train",
            f"{dataset}.data_prefix.seg_map_path": "labels/train",
        }
    split = f"splits/{share.replace('/', 'of')}"
    if arm == SUP:
        return {f"{dataset}.ann_file": f"{split}/labeled.txt"}
    return {
        f"{dataset}.labeled.ann_file": f"{split}/labeled.txt",
        f"{dataset}.unlabeled.ann_file": f"{split}/unlabeled.txt",
        "default_hooks.mean_teacher.sup_only_iters": 0,
    }


runs = [
    dict(
        name=f"{share} {schedule} {arm}",
        config=SUP_ONLY if arm in (SUP, ALL) else U2PL,
        seeds=seeds,
        options=options_of(share, schedule, arm),
        **({"method": ARMS[arm][0]} if arm in ARMS else {}),
    )
    for share, schedule, arms, seeds in RUNS
    for arm in arms
]
