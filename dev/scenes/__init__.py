"""Renders the scenes of the built-in data set: still lifes with exact masks.

The classes come in pairs that share an outline (leaf and feather, coin and button, orange and
ball) and draw their colours from overlapping ranges, so that a class is told by texture and inner
structure, which vary from one object to the next. The eighth class, the book, has plain
rectangular cards for a double, and these belong to the background.

Everything is drawn at twice the resolution in linear light, an object at a time from the bottom of
the pile to its top, and then photographed: exposure, colour temperature, vignetting, defocus,
noise. Only numpy and OpenCV are used.
"""

from scenes.scene import CLASSES, MIN_SIZE, PALETTE, render_scene

__all__ = ["CLASSES", "MIN_SIZE", "PALETTE", "render_scene"]
