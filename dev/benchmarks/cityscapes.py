# The paper's Cityscapes table, with its figures, and a supervised model trained for as many steps
# as U2PL. docs/configs.md says how to get data and lists.
#   python dev/run_benchmark.py dev/benchmarks/cityscapes.py --launcher pytorch --gpus 8
NET = "deeplabv3plus_r101-d8"
NUM_IMAGES = 2975
# Labeled images: published mIoU of sup-only and of U2PL (with CutMix).
PUBLISHED = {
    186: (65.74, 70.30),
    372: (72.53, 74.37),
    744: (74.43, 76.47),
    1488: (77.83, 79.05),
}

runs = []
for _size, (_sup_only, _full) in PUBLISHED.items():
    _plain = f"configs/suponly/suponly_{NET}_8xb2-200e_cityscapes-{_size}-769x769.py"
    _u2pl = f"configs/u2pl/u2pl_{NET}_8xb4-200e_cityscapes-{_size}-769x769.py"
    # Passes over the labeled list per epoch of U2PL, rounded up.
    _times = -(-(NUM_IMAGES - _size) // _size)
    runs.append(dict(name=f"{_size} sup-only", config=_plain, published=_sup_only))
    if _times > 1:
        _options = {"train_dataloader.dataset.times": _times}
        _name = f"{_size} sup-only as many steps"
        runs.append(dict(name=_name, config=_plain, options=_options))
    runs.append(dict(name=f"{_size} U2PL", config=_u2pl, published=_full))
del _full, _name, _options, _plain, _size, _sup_only, _times, _u2pl
