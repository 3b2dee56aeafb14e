#!/usr/bin/env bash
# The steps of the Docker image, in this order: system, requirements, package. They only need Debian
# and a `python` with pip, so you can try them on a clean Debian without Docker.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1-}" in
  system)  # libraries for OpenCV
    apt-get update
    apt-get install --yes --no-install-recommends libgl1 libglib2.0-0
    rm -rf /var/lib/apt/lists/*
    ;;
  requirements)
    python -m pip install --no-cache-dir --requirement requirements.txt
    ;;
  package)
    python -m pip install --no-cache-dir '.[pretrained]'
    ;;
  *)
    echo "usage: $0 system|requirements|package" >&2
    exit 2
    ;;
esac
