# docker build -t mmseg_u2pl .
# docker run --gpus all --shm-size 8g -v "$PWD/data:/workspace/data" -v "$PWD/work_dirs:/workspace/work_dirs" \
#     mmseg_u2pl train mmseg_u2pl::u2pl/u2pl_deeplabv3plus_r50-d8_4xb8-80e_voc2012-92-513x513.py
#
# The torch build in the package index includes CUDA; the host only needs NVIDIA's driver and
# container toolkit. For another base, such as an image of PyTorch or NVIDIA: --build-arg BASE=...
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}

WORKDIR /workspace/source
COPY docker/install.sh docker/
RUN docker/install.sh system
# Requirements come first, so that the layer with torch is only rebuilt if they change.
COPY requirements.txt ./
RUN docker/install.sh requirements
COPY . .
RUN docker/install.sh package

WORKDIR /workspace
ENTRYPOINT ["python", "-m", "mmseg_u2pl"]
CMD ["--help"]
