"""Contents of a scene: objects of each class, and clutter that belongs to the background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from scenes.materials import (
    Array,
    draw_color,
    fractal_noise,
    material,
    mix,
    noise_at,
    related_color,
    smoothstep,
    usual_color,
)
from scenes.sprites import Patch, Sprite


def _dome(patch: Patch) -> Array:
    return np.sqrt(np.clip(1 - patch.radius**2, 0, 1))


def _ball(rng: Generator, patch: Patch) -> Sprite:
    """A rubber ball: sectors, bands, seams or marbling on a sphere in any position."""
    height = _dome(patch)
    axes = np.linalg.qr(rng.standard_normal((3, 3)))[0].astype(np.float32)
    u, v, w = np.tensordot(axes, np.stack([patch.x, patch.y, height]), axes=1)
    first, second = draw_color(rng, saturation=(0.3, 0.9)), draw_color(rng)
    kind = rng.integers(4)
    if kind == 0:
        sectors = rng.integers(2, 5)
        pattern = smoothstep(-0.12, 0.12, np.sin(sectors * np.arctan2(v, u)))
    elif kind == 1:
        pattern = smoothstep(-0.2, 0.2, np.sin(rng.uniform(4, 11) * w + rng.uniform(0, 6)))
    elif kind == 2:
        second = first * rng.uniform(0.1, 0.5)
        bow = rng.uniform(0.35, 0.6)
        seams = np.minimum(np.abs(u), np.abs(v))
        seams = np.minimum(seams, np.abs(np.hypot(np.abs(u) - 1, w) - bow))
        pattern = 1 - smoothstep(0.02, 0.07, seams)
    else:
        warp = fractal_noise(rng, u.shape, 3, octaves=3)
        pattern = smoothstep(0.4, 0.6, noise_at(rng, 3 * u + 2 * warp, 3 * v))
    grain = fractal_noise(rng, u.shape, 24, octaves=2)
    albedo = mix(first, second, pattern) * (0.85 + 0.3 * grain)[..., None]
    bump = rng.uniform(0, 0.035) * grain - 0.02 * pattern
    return Sprite(albedo, height + bump, patch.inside(patch.radius - 1), rng.uniform(0.05, 0.8))


def _orange(rng: Generator, patch: Patch) -> Sprite:
    """A citrus fruit: pitted peel, mottled color and, when it faces up, the scar of its stem."""
    theta = np.arctan2(patch.y, patch.x)
    lumps = sum(
        rng.uniform(-0.02, 0.02) * np.cos(k * theta + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5)
    )
    outline = 0.95 + lumps
    ratio = patch.radius / outline
    height = np.sqrt(np.clip(1 - ratio**2, 0, 1)) * 0.95
    pits = smoothstep(0.55, 0.8, fractal_noise(rng, theta.shape, rng.uniform(16, 26), octaves=2))
    mottle = fractal_noise(rng, theta.shape, rng.uniform(2, 4), octaves=3)
    base = usual_color(rng, hue=(5, 75), saturation=(0.4, 0.95))
    albedo = mix(base, related_color(rng, base, 0.25), smoothstep(0.4, 0.9, mottle))
    albedo = albedo * (1 - 0.25 * pits)[..., None]
    depth = rng.uniform(0.03, 0.07)
    at = rng.uniform(0, 0.8) * np.exp(1j * rng.uniform(0, 2 * np.pi))
    dx, dy = patch.x - np.float32(at.real), patch.y - np.float32(at.imag)
    star = 1 + 0.3 * np.cos(5 * np.arctan2(dy, dx))
    scar = 1 - smoothstep(0.05, 0.11, np.hypot(dx, dy) / star)
    scar_color = draw_color(rng, hue=(30, 110), saturation=(0.3, 0.6), value=(0.15, 0.5))
    albedo = mix(albedo, scar_color, 0.9 * scar)
    dimple = 0.1 * np.exp(-(dx**2 + dy**2) / 0.04)
    alpha = patch.inside((ratio - 1) * outline)
    return Sprite(albedo, height - depth * pits - dimple, alpha, rng.uniform(0.05, 0.6))


def _metal(rng: Generator, patch: Patch) -> Array:
    """Brushed metal, (n, n, 3): copper to silver with streaks that turn around the center."""
    color = draw_color(rng, hue=(5, 60), saturation=(0.05, 0.65), value=(0.35, 0.9))
    streaks = np.sin(2 * np.arctan2(patch.y, patch.x) + rng.uniform(0, 2 * np.pi))
    dirt = fractal_noise(rng, patch.x.shape, 5, octaves=4)
    return color * (0.55 + 0.25 * streaks + 0.6 * dirt)[..., None]


def _disc_surface(rng: Generator, patch: Patch, metal_share: float) -> tuple[Array, float]:
    """Albedo and gloss of a coin or button; both may be metal or colored material."""
    if rng.random() < metal_share:
        return _metal(rng, patch), rng.uniform(0.3, 1.0)
    color = draw_color(rng)
    marbling = fractal_noise(rng, patch.x.shape, rng.uniform(2, 8), octaves=4)
    albedo = mix(color, related_color(rng, color, 0.4), smoothstep(0.3, 0.8, marbling))
    return albedo, rng.uniform(0.1, 0.8)


def _coin(rng: Generator, patch: Patch) -> Sprite:
    """A disc with a raised edge, an embossed figure and often an inscription around it."""
    radius, theta = patch.radius, np.arctan2(patch.y, patch.x)
    albedo, gloss = _disc_surface(rng, patch, metal_share=0.85)
    edge = rng.uniform(0.84, 0.93)
    relief = smoothstep(edge - 0.03, edge + 0.03, radius)
    figure = fractal_noise(rng, radius.shape, rng.uniform(3, 6), octaves=3)
    if rng.random() < 0.3:
        points = rng.integers(3, 8)
        figure = figure * 0.4 + 0.55 - 0.5 * radius * (1 + 0.35 * np.cos(points * theta))
    relief = relief + smoothstep(0.48, 0.6, figure) * (1 - smoothstep(0.5, 0.62, radius))
    if rng.random() < 0.7:
        letters = noise_at(rng, theta * rng.uniform(6, 9), radius * 14)
        ring = smoothstep(0.66, 0.69, radius) * (1 - smoothstep(0.78, 0.81, radius))
        relief = relief + ring * smoothstep(0.45, 0.6, letters)
    albedo = albedo * (0.7 + 0.35 * np.clip(relief, 0, 1))[..., None]
    return Sprite(albedo, rng.uniform(0.05, 0.1) * relief, patch.inside(radius - 1), gloss)


def _button(rng: Generator, patch: Patch) -> Sprite:
    """A dished disc with two to four holes, sometimes with grooves or thread."""
    radius = patch.radius
    albedo, gloss = _disc_surface(rng, patch, metal_share=0.2)
    dish = rng.uniform(0.5, 0.85)
    relief = 0.12 * smoothstep(dish - 0.1, dish + 0.05, radius)
    relief = relief - 0.15 * smoothstep(0.9, 1.0, radius)
    if rng.random() < 0.4:
        grooves = np.sin(rng.uniform(25, 45) * radius) * smoothstep(0.4, 0.5, radius)
        relief = relief + 0.02 * grooves
    count = int(rng.choice([2, 3, 4, 4]))
    angles = 2 * np.pi * np.arange(count) / count
    distance = rng.uniform(0.2, 0.32)
    centers = distance * np.exp(1j * angles)
    holes = np.min([np.hypot(patch.x - c.real, patch.y - c.imag) for c in centers], axis=0)
    hole = patch.inside((holes - rng.uniform(0.08, 0.14)).astype(np.float32))
    albedo = albedo * (1 - 0.93 * hole)[..., None]
    if rng.random() < 0.4:
        along = np.abs(patch.x) if count == 2 else np.abs(np.abs(patch.x) - np.abs(patch.y)) * 0.7
        across = np.abs(patch.y) if count == 2 else along
        thread = patch.inside(np.maximum(across - 0.05, radius - distance).astype(np.float32))
        albedo = mix(albedo, draw_color(rng), thread)
        relief = relief + 0.08 * thread
    return Sprite(albedo, relief - 0.25 * hole, patch.inside(radius - 1), gloss)


def _bent(rng: Generator, patch: Patch) -> tuple[Array, Array, Array]:
    """Coordinates along and across a bent blade, and the position along it, 0 at the stalk to 1."""
    across = patch.y - np.float32(rng.uniform(-0.3, 0.3)) * (patch.x**2 - 0.3)
    start = rng.uniform(-0.8, -0.5)
    return patch.x, across, np.clip((patch.x - start) / (1 - start), 0, 1)


def _blade_width(rng: Generator, along: Array) -> Array:
    """Half width of a leaf or feather, without teeth or splits."""
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
    phase = phase + 0.5 * (v > 0) + 0.25 * fractal_noise(rng, u.shape, 3, octaves=2)
    wave = np.abs(phase % 1 - 0.5) * 2
    veins = np.maximum(1 - smoothstep(0.0, 0.25, wave), 1 - smoothstep(0.015, 0.05, side))
    base = usual_color(rng, hue=(-5, 140), saturation=(0.3, 0.9))
    blotches = smoothstep(0.5, 0.8, fractal_noise(rng, u.shape, rng.uniform(2, 5), octaves=4))
    albedo = mix(base, related_color(rng, base, 0.6), rng.uniform(0.2, 1) * blotches)
    albedo = mix(albedo, related_color(rng, base, 0.3), rng.uniform(0.3, 0.8) * veins)
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
    splits = noise_at(rng, rng.uniform(5, 10) * barb, 3 * np.sign(v))
    width = width * (1 - rng.uniform(0.2, 0.6) * smoothstep(0.65, 0.9, splits))
    frayed = noise_at(rng, 25 * barb, 3 * np.sign(v))
    width = width * (1 - 0.15 * frayed)
    quill = np.maximum(side - 0.025, np.maximum(u - 0.9, -0.97 - u))
    alpha = patch.inside(np.minimum(side - width, quill) * 0.8)
    barbs = np.sin(2 * np.pi * rng.uniform(9, 14) * barb + 3 * frayed)
    base = usual_color(rng, hue=(0, 360), saturation=(0.02, 0.3))
    albedo = np.broadcast_to(base, (*u.shape, 3))
    if rng.random() < 0.5:
        bars = np.sin(2 * np.pi * rng.uniform(1.2, 3) * (u - 0.4 * slant * side) + splits)
        albedo = mix(albedo, related_color(rng, base), smoothstep(-0.2, 0.4, bars))
    else:
        albedo = mix(albedo, related_color(rng, base), smoothstep(0.4, 1, along))
    shaft = 1 - smoothstep(0.015, 0.045, side)
    albedo = albedo * (0.8 + rng.uniform(0.1, 0.25) * barbs)[..., None]
    albedo = mix(albedo, related_color(rng, base, 0.2), 0.8 * shaft)
    height = 0.012 * barbs + 0.05 * shaft + rng.uniform(-0.4, 0.4) * v
    return Sprite(albedo, height, alpha, rng.uniform(0, 0.3))


def _lettering(rng: Generator, x: Array, y: Array, line: float) -> Array:
    """Lines of print at the points (x, y), in [0, 1]; ``line`` is the distance between lines."""
    row = y / line
    words = noise_at(rng, x * rng.uniform(7, 12), np.floor(row) * 2)
    return smoothstep(0.4, 0.5, words) * (np.abs(row % 1 - 0.5) < 0.25)


def _rectangle(patch: Patch, width: float, depth: float) -> Array:
    """Signed distance to the edge of a rectangle with these half sides."""
    return np.maximum(np.abs(patch.x) - width, np.abs(patch.y) - depth)


def _book(rng: Generator, patch: Patch) -> Sprite:
    """A closed book: cover with title and frame, hinge at the spine, leaves at the open side."""
    width, depth = rng.uniform(0.5, 0.7), rng.uniform(0.7, 0.8)
    x, y = patch.x, patch.y
    albedo, height = material(rng, x, y)
    ink = draw_color(rng)
    title = _lettering(rng, x, y, rng.uniform(0.14, 0.24))
    top = rng.uniform(-0.55, 0.1)
    block = (np.abs(x) < width - 0.22) & (y > top) & (y < top + rng.uniform(0.25, 0.6))
    albedo = mix(albedo, ink, (0.9 * title * block).astype(np.float32))
    if rng.random() < 0.5:
        frame = np.abs(_rectangle(patch, width - 0.2, depth - 0.12))
        albedo = mix(albedo, ink, 0.8 * (1 - smoothstep(0.015, 0.045, frame)))
    hinge = np.abs(x + width - rng.uniform(0.12, 0.2))
    crease = 1 - smoothstep(0.015, 0.05, hinge)
    albedo = albedo * (1 - 0.5 * crease)[..., None]
    thickness = rng.uniform(0.1, 0.22)
    paper = draw_color(rng, hue=(30, 60), saturation=(0.02, 0.25), value=(0.7, 0.98))
    sheets = noise_at(rng, (x - width) * 40, y * 1.5)
    leaves = smoothstep(-0.5, 0.5, (x - width) / patch.pitch)
    albedo = mix(albedo, paper * (0.45 + 0.5 * sheets)[..., None], leaves)
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
    albedo, rough = material(rng, patch.x, patch.y)
    height = rng.uniform(0.3, 0.8) * np.sqrt(np.clip(1 - ratio**2, 0, 1))
    alpha = patch.inside((ratio - 1) * outline)
    return Sprite(albedo, height + rough, alpha, rng.uniform(0, 0.4))


def _twig(rng: Generator, patch: Patch) -> Sprite:
    bend = rng.uniform(-0.25, 0.25) * np.sin(rng.uniform(1, 4) * patch.x)
    across = patch.y - bend
    thick = rng.uniform(0.05, 0.13)
    albedo, rough = material(rng, patch.x, across * 3)
    height = np.sqrt(np.clip(thick**2 - across**2, 0, None))
    alpha = patch.inside(np.maximum(np.abs(across) - thick, np.abs(patch.x) - 1))
    return Sprite(albedo, height + rough, alpha, rng.uniform(0, 0.4))


def _card(rng: Generator, patch: Patch) -> Sprite:
    width, depth = rng.uniform(0.35, 0.75), rng.uniform(0.5, 0.8)
    albedo, height = material(rng, patch.x, patch.y)
    if rng.random() < 0.4:
        print_ = _lettering(rng, patch.x, patch.y, rng.uniform(0.14, 0.24))
        margin = _rectangle(patch, width - 0.15, depth - 0.15) < 0
        albedo = mix(albedo, draw_color(rng), (0.8 * print_ * margin).astype(np.float32))
    return Sprite(albedo, height, patch.inside(_rectangle(patch, width, depth)), 0.1)


@dataclass(frozen=True)
class Kind:
    """A kind of object: how to draw and place it.

    Attributes:
        draw: Makes the sprite.
        radius: Range of the radius in units of the image side.
        tilt: Smallest ratio of foreshortening; 1 if it looks the same from all sides.
        lift: Length of its shadow in units of its radius.
    """

    draw: Callable[[Generator, Patch], Sprite]
    radius: tuple[float, float]
    tilt: float
    lift: float


OBJECTS = (
    Kind(_ball, (0.11, 0.21), 1.0, 0.45),
    Kind(_orange, (0.11, 0.21), 0.9, 0.45),
    Kind(_coin, (0.12, 0.22), 0.65, 0.12),
    Kind(_button, (0.12, 0.22), 0.65, 0.15),
    Kind(_leaf, (0.24, 0.38), 0.75, 0.1),
    Kind(_feather, (0.24, 0.38), 0.75, 0.1),
    Kind(_book, (0.2, 0.3), 0.75, 0.2),
)
CLUTTER = (
    Kind(_pebble, (0.04, 0.11), 0.7, 0.3),
    Kind(_twig, (0.15, 0.4), 0.8, 0.08),
    Kind(_card, (0.1, 0.24), 0.75, 0.05),
)
