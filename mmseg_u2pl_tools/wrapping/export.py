"""Extracts the plain segmentor from a checkpoint of a semi-supervised run."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_u2pl_tools.wrapping.plain_config import is_wrapped


def export_segmentor(
    cfg: Config, checkpoint: dict[str, Any], role: str | None = None
) -> dict[str, Any]:
    """Make a plain checkpoint of one of the networks.

    Args:
        cfg: The config that the checkpoint was trained with.
        checkpoint: The checkpoint, as saved by MMEngine.
        role: Network to export, such as ``'teacher'`` or ``'student'``; by default the one that
            validation scores.

    Returns:
        The unchanged ``meta``, with classes and palette, and the segmentor's ``state_dict``, which
        the plain config loads with ``strict=True``. Optimizer, queues and other networks are left
        out.

    Raises:
        ValueError: The config is plain, the checkpoint is not from a semi-supervised run, or the
            two do not belong together.
    """
    if not is_wrapped(cfg.model):
        raise ValueError(
            f"the config's model is {cfg.model.type}, not a semi-supervised method; give the "
            "config that the run was trained with. Checkpoints of plain configs need no export"
        )
    prefix = f"{MODELS.get(cfg.model.type).networks[choose_role(cfg, role)]}."
    weights = checkpoint.get("state_dict", {})
    state = {name[len(prefix) :]: w for name, w in weights.items() if name.startswith(prefix)}
    if not state:
        raise ValueError(
            f"the checkpoint has no weights under '{prefix}', so it is not from this method; "
            f"its weights are {', '.join(list(weights)[:3]) or 'none'}, ..."
        )
    _check_fit(cfg, state)
    return {"meta": checkpoint.get("meta", {}), "state_dict": state}


def choose_role(cfg: Config, role: str | None) -> str:
    """The given role, or that of the network that validation scores.

    Raises:
        ValueError: The method has no network of that name.
    """
    networks = MODELS.get(cfg.model.type).networks
    role = role or next(iter(networks))
    if role not in networks:
        raise ValueError(
            f"{cfg.model.type} has the networks {', '.join(networks)}, but none called '{role}'"
        )
    return role


def _check_fit(cfg: Config, state: dict[str, Any]) -> None:
    segmentor = MODELS.build(cfg.model.segmentor)
    try:
        segmentor.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(
            f"the checkpoint does not fit the segmentor of the config: {error}"
        ) from error
