"""Renders the scenes of the built-in data set: still lifes with exact masks.

The classes come in pairs that share an outline (leaf and feather, coin and button, orange and
ball) and have overlapping color ranges, so that only texture and inner structure tell them apart.
These vary from object to object. The eighth class, the book, is similar to plain rectangular
cards, which belong to the background.

Everything is drawn at twice the resolution in linear light, one object at a time, from the bottom
of the pile to the top. A camera model adds exposure, color temperature, vignetting, defocus and
noise. Only NumPy and OpenCV are used.
"""

from scenes.scene import CLASSES, MIN_SIZE, PALETTE, render_scene

__all__ = ["CLASSES", "MIN_SIZE", "PALETTE", "render_scene"]
