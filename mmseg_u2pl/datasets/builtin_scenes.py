"""Renders the scenes of the built-in data set: still lifes with exact masks.

The classes come in pairs that share an outline (leaf and feather, coin and button, orange and
ball) and draw their colours from overlapping ranges, so that a class is told by texture and inner
structure, which vary from one object to the next. The eighth class, the book, has plain
rectangular cards for a double, and these belong to the background.

Everything is drawn at twice the resolution in linear light, an object at a time from the bottom of
the pile to its top, and then photographed: exposure, colour temperature, vignetting, defocus,
noise. Only numpy and OpenCV are used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

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
"""Smallest sensible image side in pixels; holes of buttons vanish below it."""
MIN_OBJECTS, MAX_OBJECTS = 3, 6

_SUPERSAMPLING = 2
_REACH = 1.15  # half side of an object's patch in units of the object's radius


@dataclass(frozen=True)
class Patch:
    """Object coordinates of every pixel of a square patch.

    Attributes:
        x: (n, n), turned with the object; the object's outline lies within [-1, 1].
        y: (n, n), as ``x``.
        pitch: Size of a pixel in units of the object's radius.
    """

    x: Array
    y: Array
    pitch: float

    @property
    def radius(self) -> Array:
        """(n, n), distance to the centre of the object."""
        return np.hypot(self.x, self.y)

    def inside(self, distance: Array) -> Array:
        """Anti-aliased coverage in [0, 1] of the region where ``distance`` is negative."""
        return np.clip(0.5 - distance / self.pitch, 0, 1)


@dataclass(frozen=True)
class Sprite:
    """What an object looks like before any light falls on it.

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


@dataclass(frozen=True)
class Light:
    """A directional light, the same for the whole scene.

    Attributes:
        direction: (3,), unit vector towards the light; x to the right, y down, z to the camera.
        ambient: Share of the light that comes from everywhere, in [0, 1].
        softness: Blur of a cast shadow in units of the radius of the object that casts it.
    """

    direction: Array
    ambient: float
    softness: float


# --- noise, colours and materials -----------------------------------------------------------------


def _fractal_noise(
    rng: Generator, shape: tuple[int, int], cells: float, octaves: int = 4, gain: float = 0.55
) -> Array:
    """Smooth noise of ``shape`` in [0, 1] whose coarsest octave has ``cells`` cells a side."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        side = max(2, round(cells * 2**octave) + 1)
        if side > 2 * max(shape):
            break
        grid = rng.standard_normal((side, side), dtype=np.float32)
        total += gain**octave * cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(0.5 + 0.28 * total / max(float(total.std()), 1e-6) * 0.7, 0, 1)


def _noise_at(rng: Generator, x: Array, y: Array) -> Array:
    """Value noise in [0, 1] with cells of side 1, read at the points (x, y), |x|, |y| < 60."""
    grid = rng.random((128, 128), dtype=np.float32)
    x, y = np.broadcast_arrays(x + 64, y + 64)
    x, y = x.astype(np.float32), y.astype(np.float32)
    return cv2.remap(grid, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _smoothstep(low: float, high: float, value: Array) -> Array:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _mix(first: Array, second: Array, share: Array) -> Array:
    """Blend two colours or colour images, (3,) or (h, w, 3), by ``share``, (h, w)."""
    return first + (second - first) * share[..., None]


def _colour(
    rng: Generator,
    hue: tuple[float, float] = (0, 360),
    saturation: tuple[float, float] = (0.05, 0.8),
    value: tuple[float, float] = (0.3, 0.95),
) -> Array:
    """Draw a linear RGB colour, (3,); hue in degrees, saturation and value in [0, 1]."""
    hsv = [rng.uniform(*hue) % 360, rng.uniform(*saturation), rng.uniform(*value)]
    return cv2.cvtColor(np.array([[hsv]], np.float32), cv2.COLOR_HSV2RGB)[0, 0] ** 2.2


def _usual_colour(
    rng: Generator,
    hue: tuple[float, float],
    saturation: tuple[float, float],
    usual: float = 0.7,
) -> Array:
    """A colour from the usual range of a class, or else any: colour hints at a class at best."""
    return _colour(rng, hue, saturation) if rng.random() < usual else _colour(rng)


def _related_colour(rng: Generator, colour: Array, strength: float = 0.5) -> Array:
    """A lighter or darker colour somewhere between ``colour`` and a random one."""
    blended = colour + (_colour(rng) - colour) * rng.uniform(0, strength)
    return np.clip(blended * np.exp(rng.uniform(-0.9, 0.9)), 0.01, 0.95).astype(np.float32)


def _turn(x: Array, y: Array, angle: float) -> tuple[Array, Array]:
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def _material_pattern(rng: Generator, x: Array, y: Array) -> Array:
    """A pattern in [0, 1] at the points (x, y): plaster, wood, weave, stripes, specks, checks."""
    x, y = _turn(x, y, rng.uniform(0, np.pi))
    frequency = np.exp(rng.uniform(np.log(2), np.log(6)))
    rough = _fractal_noise(rng, x.shape, rng.uniform(3, 10), octaves=5)
    kind = rng.integers(6)
    if kind == 0:
        return rough
    if kind == 1:
        rings = _noise_at(rng, x * 0.7, y * 3)
        fibres = _noise_at(rng, x * 2, y * 30)
        return 0.35 + 0.3 * np.sin(2 * np.pi * (frequency * y * 0.6 + 2.5 * rings)) + 0.3 * fibres
    if kind == 2:
        return 0.5 + 0.5 * np.sin(5 * frequency * x) * np.sin(5 * frequency * y) * (0.5 + rough)
    if kind == 3:
        return _smoothstep(-0.3, 0.3, np.sin(2 * np.pi * frequency * x + 1.5 * rough))
    if kind == 4:
        return _smoothstep(0.55, 0.75, _noise_at(rng, x * 9, y * 9) * 0.6 + rough * 0.5)
    return _smoothstep(-0.15, 0.15, np.sin(4 * frequency * x) * np.sin(4 * frequency * y))


def _material(
    rng: Generator, x: Array, y: Array, saturation: tuple[float, float] = (0.05, 0.8)
) -> tuple[Array, Array]:
    """A textured surface at the points (x, y): albedo (h, w, 3) and height (h, w)."""
    colour = _colour(rng, saturation=saturation)
    pattern = _material_pattern(rng, x, y)
    grain = _fractal_noise(rng, x.shape, rng.uniform(8, 40), octaves=3, gain=0.7)
    albedo = _mix(colour, _related_colour(rng, colour), pattern)
    albedo = albedo * (0.65 + 0.7 * grain)[..., None]
    return albedo, rng.uniform(0, 0.03) * pattern + rng.uniform(0, 0.04) * grain


# --- objects --------------------------------------------------------------------------------------


def _dome(patch: Patch) -> Array:
    return np.sqrt(np.clip(1 - patch.radius**2, 0, 1))


def _ball(rng: Generator, patch: Patch) -> Sprite:
    """A rubber ball: sectors, bands, seams or marbling on a sphere in any position."""
    height = _dome(patch)
    axes = np.linalg.qr(rng.standard_normal((3, 3)))[0].astype(np.float32)
    u, v, w = np.tensordot(axes, np.stack([patch.x, patch.y, height]), axes=1)
    first, second = _colour(rng, saturation=(0.3, 0.9)), _colour(rng)
    kind = rng.integers(4)
    if kind == 0:
        sectors = rng.integers(2, 5)
        pattern = _smoothstep(-0.12, 0.12, np.sin(sectors * np.arctan2(v, u)))
    elif kind == 1:
        pattern = _smoothstep(-0.2, 0.2, np.sin(rng.uniform(4, 11) * w + rng.uniform(0, 6)))
    elif kind == 2:
        second = first * rng.uniform(0.1, 0.5)
        bow = rng.uniform(0.35, 0.6)
        seams = np.minimum(np.abs(u), np.abs(v))
        seams = np.minimum(seams, np.abs(np.hypot(np.abs(u) - 1, w) - bow))
        pattern = 1 - _smoothstep(0.02, 0.07, seams)
    else:
        warp = _fractal_noise(rng, u.shape, 3, octaves=3)
        pattern = _smoothstep(0.4, 0.6, _noise_at(rng, 3 * u + 2 * warp, 3 * v))
    grain = _fractal_noise(rng, u.shape, 24, octaves=2)
    albedo = _mix(first, second, pattern) * (0.85 + 0.3 * grain)[..., None]
    bump = rng.uniform(0, 0.035) * grain - 0.02 * pattern
    return Sprite(albedo, height + bump, patch.inside(patch.radius - 1), rng.uniform(0.05, 0.8))


def _orange(rng: Generator, patch: Patch) -> Sprite:
    """A citrus fruit: pitted peel, mottled colour and, when it faces up, the scar of its stem."""
    theta = np.arctan2(patch.y, patch.x)
    lumps = sum(
        rng.uniform(-0.02, 0.02) * np.cos(k * theta + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5)
    )
    outline = 0.95 + lumps
    ratio = patch.radius / outline
    height = np.sqrt(np.clip(1 - ratio**2, 0, 1)) * 0.95
    pits = _smoothstep(0.55, 0.8, _fractal_noise(rng, theta.shape, rng.uniform(16, 26), octaves=2))
    mottle = _fractal_noise(rng, theta.shape, rng.uniform(2, 4), octaves=3)
    base = _usual_colour(rng, hue=(5, 75), saturation=(0.4, 0.95))
    albedo = _mix(base, _related_colour(rng, base, 0.25), _smoothstep(0.4, 0.9, mottle))
    albedo = albedo * (1 - 0.25 * pits)[..., None]
    depth = rng.uniform(0.03, 0.07)
    at = rng.uniform(0, 0.8) * np.exp(1j * rng.uniform(0, 2 * np.pi))
    dx, dy = patch.x - np.float32(at.real), patch.y - np.float32(at.imag)
    star = 1 + 0.3 * np.cos(5 * np.arctan2(dy, dx))
    scar = 1 - _smoothstep(0.05, 0.11, np.hypot(dx, dy) / star)
    scar_colour = _colour(rng, hue=(30, 110), saturation=(0.3, 0.6), value=(0.15, 0.5))
    albedo = _mix(albedo, scar_colour, 0.9 * scar)
    dimple = 0.1 * np.exp(-(dx**2 + dy**2) / 0.04)
    alpha = patch.inside((ratio - 1) * outline)
    return Sprite(albedo, height - depth * pits - dimple, alpha, rng.uniform(0.05, 0.6))


def _metal(rng: Generator, patch: Patch) -> Array:
    """Brushed metal, (n, n, 3): copper to silver with streaks that turn around the centre."""
    colour = _colour(rng, hue=(5, 60), saturation=(0.05, 0.65), value=(0.35, 0.9))
    streaks = np.sin(2 * np.arctan2(patch.y, patch.x) + rng.uniform(0, 2 * np.pi))
    dirt = _fractal_noise(rng, patch.x.shape, 5, octaves=4)
    return colour * (0.55 + 0.25 * streaks + 0.6 * dirt)[..., None]


def _disc_surface(rng: Generator, patch: Patch, metal_share: float) -> tuple[Array, float]:
    """Albedo and gloss of a coin or button; both may be of metal or of coloured stuff."""
    if rng.random() < metal_share:
        return _metal(rng, patch), rng.uniform(0.3, 1.0)
    colour = _colour(rng)
    marbling = _fractal_noise(rng, patch.x.shape, rng.uniform(2, 8), octaves=4)
    albedo = _mix(colour, _related_colour(rng, colour, 0.4), _smoothstep(0.3, 0.8, marbling))
    return albedo, rng.uniform(0.1, 0.8)


def _coin(rng: Generator, patch: Patch) -> Sprite:
    """A disc with a raised edge, an embossed figure and often an inscription around it."""
    radius, theta = patch.radius, np.arctan2(patch.y, patch.x)
    albedo, gloss = _disc_surface(rng, patch, metal_share=0.85)
    edge = rng.uniform(0.84, 0.93)
    relief = _smoothstep(edge - 0.03, edge + 0.03, radius)
    figure = _fractal_noise(rng, radius.shape, rng.uniform(3, 6), octaves=3)
    if rng.random() < 0.3:
        points = rng.integers(3, 8)
        figure = figure * 0.4 + 0.55 - 0.5 * radius * (1 + 0.35 * np.cos(points * theta))
    relief = relief + _smoothstep(0.48, 0.6, figure) * (1 - _smoothstep(0.5, 0.62, radius))
    if rng.random() < 0.7:
        letters = _noise_at(rng, theta * rng.uniform(6, 9), radius * 14)
        ring = _smoothstep(0.66, 0.69, radius) * (1 - _smoothstep(0.78, 0.81, radius))
        relief = relief + ring * _smoothstep(0.45, 0.6, letters)
    albedo = albedo * (0.7 + 0.35 * np.clip(relief, 0, 1))[..., None]
    return Sprite(albedo, rng.uniform(0.05, 0.1) * relief, patch.inside(radius - 1), gloss)


def _button(rng: Generator, patch: Patch) -> Sprite:
    """A disc with two to four holes in a dish, sometimes with grooves or with its thread."""
    radius = patch.radius
    albedo, gloss = _disc_surface(rng, patch, metal_share=0.2)
    dish = rng.uniform(0.5, 0.85)
    relief = 0.12 * _smoothstep(dish - 0.1, dish + 0.05, radius)
    relief = relief - 0.15 * _smoothstep(0.9, 1.0, radius)
    if rng.random() < 0.4:
        grooves = np.sin(rng.uniform(25, 45) * radius) * _smoothstep(0.4, 0.5, radius)
        relief = relief + 0.02 * grooves
    count = int(rng.choice([2, 3, 4, 4]))
    angles = 2 * np.pi * np.arange(count) / count
    distance = rng.uniform(0.2, 0.32)
    centres = distance * np.exp(1j * angles)
    holes = np.min([np.hypot(patch.x - c.real, patch.y - c.imag) for c in centres], axis=0)
    hole = patch.inside((holes - rng.uniform(0.08, 0.14)).astype(np.float32))
    albedo = albedo * (1 - 0.93 * hole)[..., None]
    if rng.random() < 0.4:
        along = np.abs(patch.x) if count == 2 else np.abs(np.abs(patch.x) - np.abs(patch.y)) * 0.7
        across = np.abs(patch.y) if count == 2 else along
        thread = patch.inside(np.maximum(across - 0.05, radius - distance).astype(np.float32))
        albedo = _mix(albedo, _colour(rng), thread)
        relief = relief + 0.08 * thread
    return Sprite(albedo, relief - 0.25 * hole, patch.inside(radius - 1), gloss)


def _bent(rng: Generator, patch: Patch) -> tuple[Array, Array, Array]:
    """Coordinates along and across a bent blade, and the place along it, 0 at the stalk to 1."""
    across = patch.y - np.float32(rng.uniform(-0.3, 0.3)) * (patch.x**2 - 0.3)
    start = rng.uniform(-0.8, -0.5)
    return patch.x, across, np.clip((patch.x - start) / (1 - start), 0, 1)


def _blade_width(rng: Generator, along: Array) -> Array:
    """Half width of a leaf or a feather without its teeth or splits."""
    low, high = rng.uniform(0.45, 0.9), rng.uniform(0.4, 0.9)
    peak = (low / (low + high)) ** low * (high / (low + high)) ** high
    return rng.uniform(0.28, 0.44) * along**low * (1 - along) ** high / peak


def _leaf(rng: Generator, patch: Patch) -> Sprite:
    """A blade with a midrib and branching veins; smooth, toothed or lobed at the edge."""
    u, v, along = _bent(rng, patch)
    width = _blade_width(rng, along)
    kind = rng.random()
    slant = rng.uniform(0.5, 1.3)
    side = np.abs(v)
    if kind < 0.35:
        teeth = (rng.uniform(9, 18) * (u - 0.3 * side)) % 1
        width = width * (1 - rng.uniform(0.1, 0.25) * teeth)
    elif kind < 0.55:
        lobes = np.cos(2 * np.pi * rng.uniform(1.8, 3.2) * (u - 0.5 * side))
        width = width * (1 - rng.uniform(0.15, 0.3) * (1 + lobes))
    stalk = np.maximum(side - 0.025, u - 0.0)
    alpha = patch.inside(np.minimum(side - width, np.maximum(stalk, -0.97 - u)) * 0.8)
    phase = rng.uniform(2.5, 5) * (u - slant * side)
    phase = phase + 0.5 * (v > 0) + 0.25 * _fractal_noise(rng, u.shape, 3, octaves=2)
    wave = np.abs(phase % 1 - 0.5) * 2
    veins = np.maximum(1 - _smoothstep(0.0, 0.25, wave), 1 - _smoothstep(0.015, 0.05, side))
    base = _usual_colour(rng, hue=(-5, 140), saturation=(0.3, 0.9))
    blotches = _smoothstep(0.5, 0.8, _fractal_noise(rng, u.shape, rng.uniform(2, 5), octaves=4))
    albedo = _mix(base, _related_colour(rng, base, 0.6), rng.uniform(0.2, 1) * blotches)
    albedo = _mix(albedo, _related_colour(rng, base, 0.3), rng.uniform(0.3, 0.8) * veins)
    puff = rng.uniform(0.02, 0.05) * np.sin(np.pi * wave / 2) - 0.05 * (veins > 0.5)
    curl = rng.uniform(-0.4, 0.4) * v + rng.uniform(-0.8, 0.8) * v**2
    return Sprite(albedo, puff + curl, alpha, rng.uniform(0, 0.4))


def _feather(rng: Generator, patch: Patch) -> Sprite:
    """A blade of fine barbs along a bare quill, split in places, sometimes barred."""
    u, v, along = _bent(rng, patch)
    side = np.abs(v)
    slant = rng.uniform(0.5, 1.3)
    barb = u - slant * side
    width = _blade_width(rng, along) * np.where(v > 0, rng.uniform(0.6, 1), 1)
    splits = _noise_at(rng, rng.uniform(5, 10) * barb, 3 * np.sign(v))
    width = width * (1 - rng.uniform(0.2, 0.6) * _smoothstep(0.65, 0.9, splits))
    frayed = _noise_at(rng, 25 * barb, 3 * np.sign(v))
    width = width * (1 - 0.15 * frayed)
    quill = np.maximum(side - 0.025, np.maximum(u - 0.9, -0.97 - u))
    alpha = patch.inside(np.minimum(side - width, quill) * 0.8)
    barbs = np.sin(2 * np.pi * rng.uniform(9, 14) * barb + 3 * frayed)
    base = _usual_colour(rng, hue=(0, 360), saturation=(0.02, 0.3))
    albedo = np.broadcast_to(base, (*u.shape, 3))
    if rng.random() < 0.5:
        bars = np.sin(2 * np.pi * rng.uniform(1.2, 3) * (u - 0.4 * slant * side) + splits)
        albedo = _mix(albedo, _related_colour(rng, base), _smoothstep(-0.2, 0.4, bars))
    else:
        albedo = _mix(albedo, _related_colour(rng, base), _smoothstep(0.4, 1, along))
    shaft = 1 - _smoothstep(0.015, 0.045, side)
    albedo = albedo * (0.8 + rng.uniform(0.1, 0.25) * barbs)[..., None]
    albedo = _mix(albedo, _related_colour(rng, base, 0.2), 0.8 * shaft)
    height = 0.012 * barbs + 0.05 * shaft + rng.uniform(-0.4, 0.4) * v
    return Sprite(albedo, height, alpha, rng.uniform(0, 0.3))


def _lettering(rng: Generator, x: Array, y: Array, line: float) -> Array:
    """Lines of print at the points (x, y), in [0, 1]; ``line`` is the distance between lines."""
    row = y / line
    words = _noise_at(rng, x * rng.uniform(7, 12), np.floor(row) * 2)
    return _smoothstep(0.4, 0.5, words) * (np.abs(row % 1 - 0.5) < 0.25)


def _rectangle(patch: Patch, width: float, depth: float) -> Array:
    """Signed distance to the edge of a rectangle with these half sides."""
    return np.maximum(np.abs(patch.x) - width, np.abs(patch.y) - depth)


def _book(rng: Generator, patch: Patch) -> Sprite:
    """A closed book: cover with title and frame, hinge at the spine, leaves at the open side."""
    width, depth = rng.uniform(0.5, 0.7), rng.uniform(0.7, 0.8)
    x, y = patch.x, patch.y
    albedo, height = _material(rng, x, y)
    ink = _colour(rng)
    title = _lettering(rng, x, y, rng.uniform(0.14, 0.24))
    top = rng.uniform(-0.55, 0.1)
    block = (np.abs(x) < width - 0.22) & (y > top) & (y < top + rng.uniform(0.25, 0.6))
    albedo = _mix(albedo, ink, (0.9 * title * block).astype(np.float32))
    if rng.random() < 0.5:
        frame = np.abs(_rectangle(patch, width - 0.2, depth - 0.12))
        albedo = _mix(albedo, ink, 0.8 * (1 - _smoothstep(0.015, 0.045, frame)))
    hinge = np.abs(x + width - rng.uniform(0.12, 0.2))
    crease = 1 - _smoothstep(0.015, 0.05, hinge)
    albedo = albedo * (1 - 0.5 * crease)[..., None]
    thickness = rng.uniform(0.1, 0.22)
    paper = _colour(rng, hue=(30, 60), saturation=(0.02, 0.25), value=(0.7, 0.98))
    sheets = _noise_at(rng, (x - width) * 40, y * 1.5)
    leaves = _smoothstep(-0.5, 0.5, (x - width) / patch.pitch)
    albedo = _mix(albedo, paper * (0.45 + 0.5 * sheets)[..., None], leaves)
    height = height * (1 - leaves) - 0.05 * crease - (x - width) * leaves * 0.8
    right = patch.inside(np.maximum(x - width - thickness, np.abs(y) - depth + 0.03))
    alpha = np.maximum(patch.inside(_rectangle(patch, width, depth)), right * (x > 0))
    return Sprite(albedo, height + 0.1, alpha.astype(np.float32), rng.uniform(0, 0.4))


# --- clutter: background class --------------------------------------------------------------------


def _pebble(rng: Generator, patch: Patch) -> Sprite:
    theta = np.arctan2(patch.y, patch.x)
    lumps = sum(
        rng.uniform(-0.16, 0.16) / k * np.cos(k * theta + rng.uniform(0, 2 * np.pi))
        for k in range(1, 5)
    )
    outline = 0.8 + lumps
    ratio = patch.radius / outline
    albedo, rough = _material(rng, patch.x, patch.y)
    height = rng.uniform(0.3, 0.8) * np.sqrt(np.clip(1 - ratio**2, 0, 1))
    alpha = patch.inside((ratio - 1) * outline)
    return Sprite(albedo, height + rough, alpha, rng.uniform(0, 0.4))


def _twig(rng: Generator, patch: Patch) -> Sprite:
    bend = rng.uniform(-0.25, 0.25) * np.sin(rng.uniform(1, 4) * patch.x)
    across = patch.y - bend
    thick = rng.uniform(0.05, 0.13)
    albedo, rough = _material(rng, patch.x, across * 3)
    height = np.sqrt(np.clip(thick**2 - across**2, 0, None))
    alpha = patch.inside(np.maximum(np.abs(across) - thick, np.abs(patch.x) - 1))
    return Sprite(albedo, height + rough, alpha, rng.uniform(0, 0.4))


def _card(rng: Generator, patch: Patch) -> Sprite:
    width, depth = rng.uniform(0.35, 0.75), rng.uniform(0.5, 0.8)
    albedo, height = _material(rng, patch.x, patch.y)
    if rng.random() < 0.4:
        print_ = _lettering(rng, patch.x, patch.y, rng.uniform(0.14, 0.24))
        margin = _rectangle(patch, width - 0.15, depth - 0.15) < 0
        albedo = _mix(albedo, _colour(rng), (0.8 * print_ * margin).astype(np.float32))
    return Sprite(albedo, height, patch.inside(_rectangle(patch, width, depth)), 0.1)


@dataclass(frozen=True)
class _Kind:
    """How an object is drawn and placed.

    Attributes:
        draw: Makes the sprite.
        radius: Range of the radius in units of the image side.
        tilt: Smallest ratio of foreshortening; 1 for what looks the same from everywhere.
        lift: How far its shadow falls, in units of its radius.
    """

    draw: Callable[[Generator, Patch], Sprite]
    radius: tuple[float, float]
    tilt: float
    lift: float


_OBJECTS = (
    _Kind(_ball, (0.11, 0.21), 1.0, 0.45),
    _Kind(_orange, (0.11, 0.21), 0.9, 0.45),
    _Kind(_coin, (0.12, 0.22), 0.65, 0.12),
    _Kind(_button, (0.12, 0.22), 0.65, 0.15),
    _Kind(_leaf, (0.24, 0.38), 0.75, 0.1),
    _Kind(_feather, (0.24, 0.38), 0.75, 0.1),
    _Kind(_book, (0.2, 0.3), 0.75, 0.2),
)
_CLUTTER = (
    _Kind(_pebble, (0.04, 0.11), 0.7, 0.3),
    _Kind(_twig, (0.15, 0.4), 0.8, 0.08),
    _Kind(_card, (0.1, 0.24), 0.75, 0.05),
)


# --- light, composition and camera ----------------------------------------------------------------


def _draw_light(rng: Generator) -> Light:
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.2)
    flat = np.cos(elevation)
    direction = [flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)]
    return Light(np.array(direction, np.float32), rng.uniform(0.15, 0.4), rng.uniform(0.05, 0.25))


def _shade(sprite: Sprite, pitch: float, light: Light) -> Array:
    """Light a sprite by the slopes of its height: diffuse, ambient and highlight, (n, n, 3)."""
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
    """A patch for an object of radius ``pixels``, turned at random and foreshortened."""
    n = 2 * int(np.ceil(_REACH * pixels)) + 1
    line = (np.arange(n, dtype=np.float32) - n // 2) / np.float32(pixels)
    x, y = np.meshgrid(line, line)
    x, y = _turn(x, y, rng.uniform(0, 2 * np.pi))
    y = y / np.float32(rng.uniform(tilt, 1))
    x, y = _turn(x, y, rng.uniform(0, 2 * np.pi))
    return Patch(x, y, 1 / pixels)


def _overlap(canvas: NDArray, top: int, left: int, n: int) -> tuple[tuple[slice, slice], ...]:
    """Slices of a canvas and of an n x n patch at (top, left) where the two overlap."""
    rows, columns = canvas.shape[:2]
    y0, y1 = max(top, 0), min(top + n, rows)
    x0, x1 = max(left, 0), min(left + n, columns)
    y1, x1 = max(y0, y1), max(x0, x1)
    inner = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    return (slice(y0, y1), slice(x0, x1)), inner


def _cast_shadow(
    image: Array, alpha: Array, corner: tuple[int, int], pixels: float, lift: float, light: Light
) -> None:
    """Darken ``image`` where an object keeps the light away, in place."""
    margin = int(pixels * 0.6)
    shadow = np.pad(alpha, margin)
    shadow = cv2.GaussianBlur(shadow, (0, 0), max(light.softness * pixels, 1.0))
    x, y, z = light.direction
    reach = lift * pixels / z
    top, left = corner[0] - margin - round(y * reach), corner[1] - margin - round(x * reach)
    outer, inner = _overlap(image, top, left, shadow.shape[0])
    image[outer] *= 1 - (1 - light.ambient) * 0.95 * shadow[inner][..., None]


def _place(
    rng: Generator, image: Array, kind: _Kind, centre: Array, radius: float, light: Light
) -> tuple[tuple[slice, slice], Array]:
    """Draw an object at ``centre`` (x, y) in pixels; where it lies and what it covers there."""
    patch = _pose(rng, radius, kind.tilt)
    sprite = kind.draw(rng, patch)
    n = patch.x.shape[0]
    top, left = round(float(centre[1])) - n // 2, round(float(centre[0])) - n // 2
    _cast_shadow(image, sprite.alpha, (top, left), radius, kind.lift, light)
    lit = _shade(sprite, patch.pitch, light)
    outer, inner = _overlap(image, top, left, n)
    covered = sprite.alpha[inner]
    image[outer] += (lit[inner] - image[outer]) * covered[..., None]
    return outer, covered


def _centre(rng: Generator, taken: list[tuple[Array, float]], radius: float, side: int) -> Array:
    """The one of a few random places that overlaps least with the circles already taken."""
    low = min(0.6 * radius, 0.4 * side)
    best, best_gap = np.zeros(2, np.float32), -1.0
    for candidate in rng.uniform(low, side - low, (12, 2)).astype(np.float32):
        gaps = (float(np.linalg.norm(candidate - c)) / (radius + r) for c, r in taken)
        gap = min(gaps, default=np.inf)
        if gap > best_gap:
            best, best_gap = candidate, gap
        if gap > 0.8:  # objects may overlap; the best place of all would be a tidy grid
            break
    return best


def _photograph(rng: Generator, image: Array, size: int) -> NDArray[np.uint8]:
    """Turn linear light at the rendering resolution into a picture of ``size`` pixels a side."""
    side = image.shape[0]
    line = np.linspace(-1, 1, side, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    slope, _ = _turn(x, y, rng.uniform(0, 2 * np.pi))
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
    # a soft shoulder in place of clipped highlights
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
    albedo, height = _material(rng, x, y, saturation=(0.02, 0.5))
    ground = Sprite(albedo, height, np.ones_like(height), gloss=0.05)
    image = _shade(ground, float(line[1] - line[0]), light)
    labels = np.zeros((side, side), np.uint8)

    count = rng.integers(MIN_OBJECTS, MAX_OBJECTS + 1)
    classes = rng.permutation(np.arange(1, len(CLASSES)))[:count]
    clutter = rng.integers(len(_CLUTTER), size=rng.integers(1, 5))
    # clutter lies below and between the objects, never on top of all of them
    below = [(0, _CLUTTER[i]) for i in clutter[1:]]
    above = [(int(c), _OBJECTS[c - 1]) for c in classes]
    above.insert(int(rng.integers(count)), (0, _CLUTTER[clutter[0]]))

    taken: list[tuple[Array, float]] = []
    for label, kind in below + above:
        radius = rng.uniform(*kind.radius) * side
        centre = _centre(rng, taken, radius, side)
        if label:
            taken.append((centre, radius))
        where, covered = _place(rng, image, kind, centre, radius, light)
        labels[where][covered > 0.5] = label
    return _photograph(rng, image, size), _main_class(labels, size)
