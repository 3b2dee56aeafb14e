"""The share of pixels that is held unreliable, as a function of training progress."""


def unreliable_share(progress: float, alpha_0: float) -> float:
    """Share of the pixels that count as unreliable, falling linearly to zero.

    Implements ``alpha_t = alpha_0 * (1 - t / T)`` (U2PL, Eq. 7).

    Args:
        progress: ``t / T``, in [0, 1].
        alpha_0: Share at the start of the training, in [0, 1].

    Returns:
        ``alpha_t``, in [0, alpha_0].

    Raises:
        ValueError: If ``progress`` is outside [0, 1].
    """
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress must lie in [0, 1], got {progress}")
    return alpha_0 * (1.0 - progress)
