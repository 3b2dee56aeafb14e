"""Sphinx configuration of the documentation: `make docs`."""

import mmseg_u2pl

project = "mmseg_u2pl"
author = "the mmseg_u2pl contributors"
copyright = f"2026, {author}"  # the name that Sphinx reads
version = release = mmseg_u2pl.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"mmseg_u2pl {version}"
