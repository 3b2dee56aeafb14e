# All methods on three sets of photographs, on a CPU. Thresholds, rates and lengths were chosen in
# short trials with seed 0; docs/results.md says which runs have been made.
#   python dev/run_benchmark.py dev/benchmarks/photographs.py --out docs/results/photographs
# "start" trains a supervised model. All arms continue from its last checkpoint for the same number
# of iterations, with the same labeled images per step, and are compared seed by seed. "8 images a
# step" has as many as the semi-supervised arms, all labeled.
#   VOC animals  data/voc_animals  5 animals, persons, background of VOC 2012, 445 validation images
#   IDD Lite     data/idd_lite     7 classes of streets in India, 204 validation images
#   CamVid       data/camvid       11 classes of streets, at 240 x 180, 101 validation images
FOLDER = "dev/benchmarks/photographs"
CAMVID = "deeplabv3plus_efficientnet-lite0-s5"
CAMVID_SEMI = f"configs/u2pl/u2pl_{CAMVID}_1xb8-demo_camvid-240x180-1of8-128x128.py"
CAMVID_SUP = f"configs/suponly/suponly_{CAMVID}_1xb4-demo_camvid-240x180-1of8-128x128.py"
VOC = [f"{FOLDER}/suponly_voc_animals.py", f"{FOLDER}/semi_voc_animals.py"]
IDD = [f"{FOLDER}/suponly_idd_lite.py", f"{FOLDER}/semi_idd_lite.py"]
SETS = {  # configs, split
    "VOC 104": (*VOC, "splits/104"),
    "IDD 1of32": (*IDD, "splits/1of32"),
    "CamVid 1of8": (CAMVID_SUP, CAMVID_SEMI, "splits/1of8"),
    "VOC 222": (*VOC, "splits/222"),
    "IDD 1of16": (*IDD, "splits/1of16"),
}
COLORS = {"model.photometric.strength": 0.5, "model.photometric.hue": 0.25}  # as FixMatch's
NO_COLORS = {"model.photometric": None}
NO_CONTRAST = {"model.contra_weight": 0.0}
LABELS_ONLY = {  # method, options
    "sup-only": (None, {}),
    "sup-only, 8 images a step": (None, {"train_dataloader.batch_size": 8}),
}
# Distorted colors help on animals and hurt on CamVid.
ANIMALS = LABELS_ONLY | {
    "Mean Teacher": ("mean_teacher", {"model.mixing": "none"}),
    "CutMix + Mean Teacher": ("mean_teacher", {}),
    "FixMatch": ("fixmatch", {}),
    "FixMatch, tau=0.8": ("fixmatch", {"model.tau": 0.8}),
    "FixMatch, tau=0": ("fixmatch", {"model.tau": 0.0}),
    "UniMatch, tau=0.8": ("unimatch", {"model.tau": 0.8}),
    "UniMatch V2, tau=0.8": ("unimatch_v2", {"model.tau": 0.8}),
    "CPS": ("cps", {}),
    "AEL": ("ael", {}),
    "U2PL paper": ("u2pl", {}),
    "U2PL reference": ("u2pl_reference", {}),
    "U2PL best": ("u2pl_best", COLORS),
    "U2PL best, no contrast": ("u2pl_best", COLORS | NO_CONTRAST),
    "FixMatch, tau=0.8, unreliable pixels": ("u2pl_fixmatch", {"model.tau": 0.8}),
    "UniMatch V2, tau=0.8, unreliable pixels": ("u2pl_unimatch_v2", {"model.tau": 0.8}),
}
STREETS = LABELS_ONLY | {
    "Mean Teacher": ("mean_teacher", {"model.mixing": "none"}),
    "CutMix + Mean Teacher": ("mean_teacher", {}),
    "FixMatch": ("fixmatch", NO_COLORS),
    "FixMatch, tau=0.8": ("fixmatch", {"model.tau": 0.8, **NO_COLORS}),
    "FixMatch, tau=0": ("fixmatch", {"model.tau": 0.0, **NO_COLORS}),
    "UniMatch, tau=0": ("unimatch", {"model.tau": 0.0, **NO_COLORS}),
    "UniMatch V2, tau=0": ("unimatch_v2", {"model.tau": 0.0, **NO_COLORS}),
    "CPS": ("cps", {}),
    "AEL": ("ael", {}),
    "U2PL paper": ("u2pl", {}),
    "U2PL reference": ("u2pl_reference", {}),
    "U2PL, aligned, all pixels": (  # half of best: the paper's teacher and boxes
        "u2pl",
        {"model.distribution_alignment": True, "model.entropy_filter": False},
    ),
    "U2PL best": ("u2pl_best", {}),
    "U2PL best, no contrast": ("u2pl_best", NO_CONTRAST),
}
ARMS = {"VOC": ANIMALS, "IDD": STREETS, "CamVid": STREETS}
SCHEDULES = {  # iterations and images per step of the start, iterations of an arm, learning rate
    "VOC": (1500, 8, 500, 0.0005),
    "IDD": (3000, 8, 1000, 0.001),
    "CamVid": (5000, 4, 1000, 0.001),
}


def schedule(iters, interval, rate):
    return {
        "optim_wrapper.optimizer.lr": rate,
        "train_cfg.max_iters": iters,
        "train_cfg.val_interval": interval,
        "param_scheduler.0.end": iters,
        "default_hooks.checkpoint.interval": iters,
    }


def run_of(name, arm):
    sup_only, semi, split = SETS[name]
    kind = name.split()[0]
    method, changes = ARMS[kind].get(arm, (None, {}))
    dataset = "train_dataloader.dataset"
    if method is None:
        lists = {f"{dataset}.ann_file": f"{split}/labeled.txt"}
    else:
        lists = {
            f"{dataset}.labeled.ann_file": f"{split}/labeled.txt",
            f"{dataset}.unlabeled.ann_file": f"{split}/unlabeled.txt",
            "default_hooks.mean_teacher.sup_only_iters": 0,
        }
    start_iters, start_batch, iters, rate = SCHEDULES[kind]
    if arm == "start":
        steps = schedule(start_iters, start_iters // 3, rate)
        steps["train_dataloader.batch_size"] = start_batch
    else:
        folder = f"{name} start".replace(" ", "_")
        steps = schedule(iters, iters, rate)
        steps["load_from"] = f"{{root}}/{folder}/seed{{seed}}/iter_{start_iters}.pth"
    return dict(
        name=f"{name} {arm}",
        config=sup_only if method is None else semi,
        seeds=[0, 1, 2],
        options={**steps, **lists, **changes},
        **({} if method is None else {"method": method}),
    )


runs = [run_of(name, arm) for name in SETS for arm in ("start", *ARMS[name.split()[0]])]
