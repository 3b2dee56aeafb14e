"""Light, composition and camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from scenes.materials import Array, material, turn
from scenes.objects import CLUTTER, OBJECTS, Kind
from scenes.sprites import Patch, Sprite

CLASSES = ("background", "ball", "orange", "coin", "button", "leaf", "feather", "book")
PALETTE = (
    (0, 0, 0),
    (214, 69, 65),
    (245, 158, 27),
    (247, 220, 111),
    (142, 68, 173),
    (46, 160, 67),
    (93, 173, 226),
    (160, 110, 80),
)
MIN_SIZE = 64
"""Minimum image side in pixels; smaller images lose the holes of buttons."""
MIN_OBJECTS, MAX_OBJECTS = 3, 6

_SUPERSAMPLING = 2
_REACH = 1.15  # half side of an object's patch in units of the object's radius


@dataclass(frozen=True)
class Light:
    """A directional light, the same for the whole scene.

    Attributes:
        direction: (3,), unit vector towards the light; x to the right, y down, z to the camera.
        ambient: Share of ambient light, in [0, 1].
        softness: Blur of a cast shadow in units of its object's radius.
    """

    direction: Array
    ambient: float
    softness: float


def _draw_light(rng: Generator) -> Light:
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.2)
    flat = np.cos(elevation)
    direction = [flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)]
    return Light(np.array(direction, np.float32), rng.uniform(0.15, 0.4), rng.uniform(0.05, 0.25))


def _shade(sprite: Sprite, pitch: float, light: Light) -> Array:
    """Shade a sprite by its slopes: diffuse and ambient light and highlights, (n, n, 3)."""
    slope_y, slope_x = np.gradient(sprite.height.astype(np.float32), pitch)
    x, y, z = light.direction
    norm = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
    diffuse = np.clip((z - x * slope_x - y * slope_y) * norm, 0, None)
    half = light.direction + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    mirror = np.clip((half[2] - half[0] * slope_x - half[1] * slope_y) * norm, 0, None)
    lit = sprite.albedo * (light.ambient + (1 - light.ambient) * diffuse / z)[..., None]
    return lit + (0.6 * sprite.gloss * mirror**24)[..., None]


def _pose(rng: Generator, pixels: float, tilt: float) -> Patch:
    """A patch for an object of radius ``pixels``, randomly rotated and foreshortened."""
    n = 2 * int(np.ceil(_REACH * pixels)) + 1
    line = (np.arange(n, dtype=np.float32) - n // 2) / np.float32(pixels)
    x, y = np.meshgrid(line, line)
    x, y = turn(x, y, rng.uniform(0, 2 * np.pi))
    y = y / np.float32(rng.uniform(tilt, 1))
    x, y = turn(x, y, rng.uniform(0, 2 * np.pi))
    return Patch(x, y, 1 / pixels)


def _overlap(canvas: NDArray, top: int, left: int, n: int) -> tuple[tuple[slice, slice], ...]:
    """Slices of the overlap in a canvas and in an n x n patch at (top, left)."""
    rows, columns = canvas.shape[:2]
    y0, y1 = max(top, 0), min(top + n, rows)
    x0, x1 = max(left, 0), min(left + n, columns)
    y1, x1 = max(y0, y1), max(x0, x1)
    inner = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    return (slice(y0, y1), slice(x0, x1)), inner


def _cast_shadow(
    image: Array, alpha: Array, corner: tuple[int, int], pixels: float, lift: float, light: Light
) -> None:
    """Darken ``image`` in place where an object blocks the light."""
    margin = int(pixels * 0.6)
    shadow = np.pad(alpha, margin)
    shadow = cv2.GaussianBlur(shadow, (0, 0), max(light.softness * pixels, 1.0))
    x, y, z = light.direction
    reach = lift * pixels / z
    top, left = corner[0] - margin - round(y * reach), corner[1] - margin - round(x * reach)
    outer, inner = _overlap(image, top, left, shadow.shape[0])
    image[outer] *= 1 - (1 - light.ambient) * 0.95 * shadow[inner][..., None]


def _place(
    rng: Generator, image: Array, kind: Kind, center: Array, radius: float, light: Light
) -> tuple[tuple[slice, slice], Array]:
    """Draw an object at ``center`` (x, y) in pixels; return its place and coverage."""
    patch = _pose(rng, radius, kind.tilt)
    sprite = kind.draw(rng, patch)
    n = patch.x.shape[0]
    top, left = round(float(center[1])) - n // 2, round(float(center[0])) - n // 2
    _cast_shadow(image, sprite.alpha, (top, left), radius, kind.lift, light)
    lit = _shade(sprite, patch.pitch, light)
    outer, inner = _overlap(image, top, left, n)
    covered = sprite.alpha[inner]
    image[outer] += (lit[inner] - image[outer]) * covered[..., None]
    return outer, covered


def _center(rng: Generator, taken: list[tuple[Array, float]], radius: float, side: int) -> Array:
    """The random place out of a few that overlaps least with the circles already taken."""
    low = min(0.6 * radius, 0.4 * side)
    best, best_gap = np.zeros(2, np.float32), -1.0
    for candidate in rng.uniform(low, side - low, (12, 2)).astype(np.float32):
        gaps = (float(np.linalg.norm(candidate - c)) / (radius + r) for c, r in taken)
        gap = min(gaps, default=np.inf)
        if gap > best_gap:
            best, best_gap = candidate, gap
        if gap > 0.8:  # objects may overlap; always the best place would give a regular grid
            break
    return best


def _photograph(rng: Generator, image: Array, size: int) -> NDArray[np.uint8]:
    """Turn linear light at the rendering resolution into a picture of side ``size``."""
    side = image.shape[0]
    line = np.linspace(-1, 1, side, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    slope, _ = turn(x, y, rng.uniform(0, 2 * np.pi))
    falloff = (1 + rng.uniform(0, 0.45) * slope) * (1 - rng.uniform(0.05, 0.3) * (x**2 + y**2))
    warmth = rng.uniform(-0.22, 0.22)
    balance = np.array([1 + warmth, 1 + rng.uniform(-0.05, 0.05), 1 - warmth], np.float32)
    exposure = np.exp(rng.uniform(-0.45, 0.45)) / max(float(image.mean()) * 3.2, 0.05)
    image = image * (falloff * exposure)[..., None] * balance
    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.25, 0.8) * size / 128)
    image = np.clip(image, 0, None)
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    image = image + grain * np.sqrt(rng.uniform(1e-5, 1e-3) * image + 1e-5)
    # a soft shoulder instead of clipped highlights
    image = np.clip(image, 0, None)
    image = image * (1 + 0.15 * image) / (1 + 0.5 * image) * 1.15
    return (np.clip(image, 0, 1) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8)


def _main_class(labels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The class that covers most of each pixel, (size, size), from supersampled ``labels``."""
    present = np.unique(labels)
    shares = [
        cv2.resize((labels == c).astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
        for c in present
    ]
    return present[np.argmax(shares, axis=0)]


def render_scene(rng: Generator, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Render one still life of three to six objects of different classes among clutter.

    Args:
        rng: Source of all randomness; the same state gives the same bytes.
        size: Side of the image in pixels, at least :data:`MIN_SIZE`.

    Returns:
        The picture, (size, size, 3) uint8 RGB, and the mask, (size, size) uint8, an index into
        :data:`CLASSES` for every pixel; no pixel is void.

    Raises:
        ValueError: If ``size`` is below :data:`MIN_SIZE`.
    """
    if size < MIN_SIZE:
        raise ValueError(f"size={size} is too small for the objects; use at least {MIN_SIZE}")
    side = size * _SUPERSAMPLING
    light = _draw_light(rng)
    line = np.linspace(-1, 1, side, dtype=np.float32) * np.float32(rng.uniform(0.8, 2))
    x, y = np.meshgrid(line, line)
    albedo, height = material(rng, x, y, saturation=(0.02, 0.5))
    ground = Sprite(albedo, height, np.ones_like(height), gloss=0.05)
    image = _shade(ground, float(line[1] - line[0]), light)
    labels = np.zeros((side, side), np.uint8)

    count = rng.integers(MIN_OBJECTS, MAX_OBJECTS + 1)
    classes = rng.permutation(np.arange(1, len(CLASSES)))[:count]
    clutter = rng.integers(len(CLUTTER), size=rng.integers(1, 5))
    # clutter lies below and between the objects, never on top of all
    below = [(0, CLUTTER[i]) for i in clutter[1:]]
    above = [(int(c), OBJECTS[c - 1]) for c in classes]
    above.insert(int(rng.integers(count)), (0, CLUTTER[clutter[0]]))

    taken: list[tuple[Array, float]] = []
    for label, kind in below + above:
        radius = rng.uniform(*kind.radius) * side
        center = _center(rng, taken, radius, side)
        if label:
            taken.append((center, radius))
        where, covered = _place(rng, image, kind, center, radius, light)
        labels[where][covered > 0.5] = label
    return _photograph(rng, image, size), _main_class(labels, size)
