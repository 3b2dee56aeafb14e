"""Noise, colors and surfaces made of them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[Any]  # of floats; OpenCV's type hints only promise numbers


def fractal_noise(
    rng: Generator, shape: tuple[int, ...], cells: float, octaves: int = 4, gain: float = 0.55
) -> Array:
    """Smooth noise of ``shape`` in [0, 1] whose coarsest octave has ``cells`` cells per side."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        side = max(2, round(cells * 2**octave) + 1)
        if side > 2 * max(shape):
            break
        grid = rng.standard_normal((side, side), dtype=np.float32)
        total += gain**octave * cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(0.5 + 0.28 * total / max(float(total.std()), 1e-6) * 0.7, 0, 1)


def noise_at(rng: Generator, x: Array, y: Array) -> Array:
    """Value noise in [0, 1] with cells of side 1, read at the points (x, y), |x|, |y| < 60."""
    grid = rng.random((128, 128), dtype=np.float32)
    x, y = np.broadcast_arrays(x + 64, y + 64)
    x, y = x.astype(np.float32), y.astype(np.float32)
    return cv2.remap(grid, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def smoothstep(low: float, high: float, value: Array) -> Array:
    """0 below ``low``, 1 above ``high``, and smooth in between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(first: Array, second: Array, share: Array) -> Array:
    """Blend two colors or color images, (3,) or (h, w, 3), by ``share``, (h, w)."""
    return first + (second - first) * share[..., None]


def draw_color(
    rng: Generator,
    hue: tuple[float, float] = (0, 360),
    saturation: tuple[float, float] = (0.05, 0.8),
    value: tuple[float, float] = (0.3, 0.95),
) -> Array:
    """Draw a linear RGB color, (3,); hue in degrees, saturation and value in [0, 1]."""
    hsv = [rng.uniform(*hue) % 360, rng.uniform(*saturation), rng.uniform(*value)]
    return cv2.cvtColor(np.array([[hsv]], np.float32), cv2.COLOR_HSV2RGB)[0, 0] ** 2.2


def usual_color(
    rng: Generator,
    hue: tuple[float, float],
    saturation: tuple[float, float],
    usual: float = 0.7,
) -> Array:
    """A color from the usual range of a class, or any color, so that it is only a hint."""
    return draw_color(rng, hue, saturation) if rng.random() < usual else draw_color(rng)


def related_color(rng: Generator, color: Array, strength: float = 0.5) -> Array:
    """A lighter or darker color somewhere between ``color`` and a random one."""
    blended = color + (draw_color(rng) - color) * rng.uniform(0, strength)
    return np.clip(blended * np.exp(rng.uniform(-0.9, 0.9)), 0.01, 0.95).astype(np.float32)


def turn(x: Array, y: Array, angle: float) -> tuple[Array, Array]:
    """Coordinates rotated by ``angle``, in radians."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def _material_pattern(rng: Generator, x: Array, y: Array) -> Array:
    """A pattern in [0, 1] at the points (x, y): plaster, wood, weave, stripes, specks, checks."""
    x, y = turn(x, y, rng.uniform(0, np.pi))
    frequency = np.exp(rng.uniform(np.log(2), np.log(6)))
    rough = fractal_noise(rng, x.shape, rng.uniform(3, 10), octaves=5)
    kind = rng.integers(6)
    if kind == 0:
        return rough
    if kind == 1:
        rings = noise_at(rng, x * 0.7, y * 3)
        fibres = noise_at(rng, x * 2, y * 30)
        return 0.35 + 0.3 * np.sin(2 * np.pi * (frequency * y * 0.6 + 2.5 * rings)) + 0.3 * fibres
    if kind == 2:
        return 0.5 + 0.5 * np.sin(5 * frequency * x) * np.sin(5 * frequency * y) * (0.5 + rough)
    if kind == 3:
        return smoothstep(-0.3, 0.3, np.sin(2 * np.pi * frequency * x + 1.5 * rough))
    if kind == 4:
        return smoothstep(0.55, 0.75, noise_at(rng, x * 9, y * 9) * 0.6 + rough * 0.5)
    return smoothstep(-0.15, 0.15, np.sin(4 * frequency * x) * np.sin(4 * frequency * y))


def material(
    rng: Generator, x: Array, y: Array, saturation: tuple[float, float] = (0.05, 0.8)
) -> tuple[Array, Array]:
    """A textured surface at the points (x, y): albedo (h, w, 3) and height (h, w)."""
    color = draw_color(rng, saturation=saturation)
    pattern = _material_pattern(rng, x, y)
    grain = fractal_noise(rng, x.shape, rng.uniform(8, 40), octaves=3, gain=0.7)
    albedo = mix(color, related_color(rng, color), pattern)
    albedo = albedo * (0.65 + 0.7 * grain)[..., None]
    return albedo, rng.uniform(0, 0.03) * pattern + rng.uniform(0, 0.04) * grain
