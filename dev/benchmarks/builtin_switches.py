# Each switch of the method on its own, on the built-in data. All runs but the first continue from
# the same supervised-only model, with the same seed, images and order. With one seed, differences
# of less than one or two points are not significant. Write the data first:
#   python dev/make_builtin_data.py data/builtin
#   python dev/run_benchmark.py dev/benchmarks/builtin_switches.py --out docs/results/switches
NAME = "deeplabv3plus_efficientnet-lite0-s5"
SUP_ONLY = f"configs/suponly/suponly_{NAME}_1xb8-demo_builtin-1of16-128x128.py"
U2PL = f"configs/u2pl/u2pl_{NAME}_1xb16-demo_builtin-1of16-128x128.py"
FROM_START = {
    "load_from": "{root}/start/seed0/iter_350.pth",
    "train_cfg.max_iters": 200,
    "train_cfg.val_interval": 200,
    "param_scheduler.0.end": 200,
    "default_hooks.checkpoint.interval": 200,
}

options = {"optim_wrapper.optimizer.lr": 0.0005}


def variation(name, method="u2pl", **options):
    """A run with options, whose double underscores stand for dots."""
    changed = {f"model.{key.replace('__', '.')}": value for key, value in options.items()}
    start = {"default_hooks.mean_teacher.sup_only_iters": 0}
    return dict(name=name, config=U2PL, method=method, options={**FROM_START, **start, **changed})


runs = [
    dict(
        name="start",
        config=SUP_ONLY,
        options={
            "train_cfg.max_iters": 350,
            "train_cfg.val_interval": 350,
            "default_hooks.checkpoint.interval": 350,
        },
    ),
    dict(name="sup-only", config=SUP_ONLY, options=FROM_START),
    variation("paper"),
    variation("reference", method="u2pl_reference"),
    variation("mean teacher", method="mean_teacher"),
    variation("contra_weight=0", contra_weight=0.0),
    variation("contra_weight=1", contra_weight=1.0),
    variation("unsup_weight=0", unsup_weight=0.0),
    variation("unsup_weight=0.5", unsup_weight=0.5),
    variation("negative_pixels=reliable", negative_pixels="reliable"),
    variation("negative_pixels=all", negative_pixels="all"),
    variation("dynamic_partition=False", dynamic_partition=False),
    variation("entropy_filter=False", entropy_filter=False),
    variation("low_rank=1", contrastive_head__low_rank=1),
    variation(
        "low_rank=1, high_rank=3", contrastive_head__low_rank=1, contrastive_head__high_rank=3
    ),
    variation("low_rank=5", contrastive_head__low_rank=5),
    variation("alpha_0=0.1", alpha_0=0.1),
    variation("alpha_0=0.4", alpha_0=0.4),
    variation("temperature=0.1", contrastive_head__temperature=0.1),
    variation("temperature=1", contrastive_head__temperature=1.0),
    variation("min_prob=0", contrastive_head__min_prob=0.0),
    variation("min_prob=0.7", contrastive_head__min_prob=0.7),
    variation(
        "num_anchors=256, num_negatives=50",
        contrastive_head__num_anchors=256,
        contrastive_head__num_negatives=50,
    ),
    variation("mixing=cutout", mixing="cutout"),
    variation("mixing=classmix", mixing="classmix"),
    variation("mixing=none", mixing="none"),
    variation("mixing_prob=0.5", mixing_prob=0.5),
    variation("loss=binary", contrastive_head__loss="binary"),
    variation("teacher.dropout=True", teacher__dropout=True),
    variation("teacher.statistics=averaged", teacher__statistics="averaged"),
    variation("teacher.decay=0.9", teacher__decay=0.9),
    variation("teacher.ramp=False", teacher__ramp=False),
    variation("queue_size=500", contrastive_head__queue_size=500),
    variation("queue_dtype=float32", contrastive_head__queue_dtype="float32"),
    variation("projector.embed_dims=256", projector__embed_dims=256),
    variation("projector.num_convs=1", projector__num_convs=1),
    variation("projector.kernel_size=3", projector__kernel_size=3),
    variation("embedding_source=bottleneck", embedding_source="decode_head.bottleneck"),
    variation("photometric", photometric__strength=0.5),
    variation("distribution_alignment=True", distribution_alignment=True),
    variation("best", distribution_alignment=True, entropy_filter=False),  # u2pl_best then
]
