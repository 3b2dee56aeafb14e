"""Distributed training without GPUs, which MMEngine's launcher requires."""

import os
from datetime import timedelta

import torch.distributed
from mmengine.config import Config
from mmengine.device import get_device
from torch.distributed.constants import default_pg_timeout


def join_cpu_processes(cfg: Config) -> None:
    """On a machine without an accelerator, join the processes that ``torchrun`` started.

    MMEngine would select a CUDA device first and pass it to the model wrapper, but it uses a
    process group that already exists. The backend is always ``gloo``, the only one for CPUs. On
    other machines and with other launchers, this does nothing.

    Args:
        cfg: Config of the run, with its ``launcher``. The model wrapper is added to it.
    """
    if cfg.launcher != "pytorch" or get_device() != "cpu" or "RANK" not in os.environ:
        return
    seconds = cfg.get("env_cfg", {}).get("dist_cfg", {}).get("timeout")
    timeout = default_pg_timeout if seconds is None else timedelta(seconds=seconds)
    torch.distributed.init_process_group("gloo", timeout=timeout)
    wrapper = dict(
        type="MMDistributedDataParallel",
        broadcast_buffers=False,
        find_unused_parameters=cfg.get("find_unused_parameters", False),
    )
    cfg.model_wrapper_cfg = {**(cfg.get("model_wrapper_cfg") or wrapper), "device_ids": None}
