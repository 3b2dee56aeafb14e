# The paper's VOC 2012 "classic" table, with its figures, and a supervised model trained for as many
# steps as U2PL. docs/configs.md says how to get data and lists.
#   python dev/run_benchmark.py dev/benchmarks/voc2012_classic.py --launcher pytorch --gpus 4
NET = "deeplabv3plus_r101-d8"
NUM_IMAGES = 10582
ARMS = {  # method, options
    "Mean Teacher": ("mean_teacher", {"model.mixing": "none"}),
    "CutMix + Mean Teacher": ("mean_teacher", {}),
    "U2PL": ("u2pl", {}),
}
# Labeled images: published mIoU of sup-only, and of the arms in order.
PUBLISHED = {
    92: (45.77, 51.72, 52.16, 67.98),
    183: (54.92, 58.93, 63.47, 69.15),
    366: (65.88, 63.86, 69.46, 73.66),
    732: (71.69, 69.51, 73.73, 76.16),
    1464: (72.50, 70.96, 76.54, 79.49),
}

runs = []
for _size, (_sup_only, *_arms) in PUBLISHED.items():
    _plain = f"configs/suponly/suponly_{NET}_4xb4-80e_voc2012-{_size}-513x513.py"
    _u2pl = f"configs/u2pl/u2pl_{NET}_4xb8-80e_voc2012-{_size}-513x513.py"
    # Passes over the labeled list per epoch of U2PL, rounded up.
    _times = -(-(NUM_IMAGES - _size) // _size)
    runs.append(dict(name=f"{_size} sup-only", config=_plain, published=_sup_only))
    if _times > 1:
        _options = {"train_dataloader.dataset.times": _times}
        _name = f"{_size} sup-only as many steps"
        runs.append(dict(name=_name, config=_plain, options=_options))
    for (_arm, (_method, _options)), _figure in zip(ARMS.items(), _arms, strict=True):
        _run = dict(name=f"{_size} {_arm}", config=_u2pl, method=_method)
        runs.append(dict(_run, options=_options, published=_figure))
del _arm, _arms, _figure, _method, _name, _options, _run, _plain, _size, _sup_only, _times, _u2pl
