"""Sprites of objects before lighting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scenes.materials import Array


@dataclass(frozen=True)
class Patch:
    """Object coordinates of every pixel of a square patch.

    Attributes:
        x: (n, n), rotated with the object, whose outline lies within [-1, 1].
        y: (n, n), like ``x``.
        pitch: Size of a pixel in units of the object's radius.
    """

    x: Array
    y: Array
    pitch: float

    @property
    def radius(self) -> Array:
        """(n, n), distance to the center of the object."""
        return np.hypot(self.x, self.y)

    def inside(self, distance: Array) -> Array:
        """Anti-aliased coverage in [0, 1] of the region where ``distance`` is negative."""
        return np.clip(0.5 - distance / self.pitch, 0, 1)


@dataclass(frozen=True)
class Sprite:
    """An object before lighting.

    Attributes:
        albedo: (n, n, 3), linear RGB in [0, 1].
        height: (n, n), in units of the object's radius.
        alpha: (n, n), coverage in [0, 1].
        gloss: Strength of the highlight, from 0.
    """

    albedo: Array
    height: Array
    alpha: Array
    gloss: float
