# The paper's VOC 2012 "blender" table, with its figures, and a supervised model trained for as many
# steps as U2PL. docs/configs.md says how to get data and lists.
#   python dev/run_benchmark.py dev/benchmarks/voc2012_blender.py --launcher pytorch --gpus 4
NET = "deeplabv3plus_r101-d8"
NUM_IMAGES = 10582
# Labeled images: published mIoU of sup-only and of U2PL.
PUBLISHED = {
    662: (67.87, 77.21),
    1323: (71.55, 79.01),
    2646: (75.80, 79.30),
    5291: (77.13, 80.50),
}

runs = []
for _size, (_sup_only, _full) in PUBLISHED.items():
    _plain = f"configs/suponly/suponly_{NET}_4xb4-80e_voc2012-blender-{_size}-513x513.py"
    _u2pl = f"configs/u2pl/u2pl_{NET}_4xb8-80e_voc2012-blender-{_size}-513x513.py"
    # Passes over the labeled list per epoch of U2PL, rounded up.
    _times = -(-(NUM_IMAGES - _size) // _size)
    runs.append(dict(name=f"{_size} sup-only", config=_plain, published=_sup_only))
    if _times > 1:
        _options = {"train_dataloader.dataset.times": _times}
        _name = f"{_size} sup-only as many steps"
        runs.append(dict(name=_name, config=_plain, options=_options))
    runs.append(dict(name=f"{_size} U2PL", config=_u2pl, published=_full))
del _full, _name, _options, _plain, _size, _sup_only, _times, _u2pl
