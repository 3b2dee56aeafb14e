"""Sphinx configuration of the documentation: `make docs`."""

import re
from pathlib import Path

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

ROOT = Path(__file__).resolve().parent.parent
# Files outside docs/, and the pages that include them.
INCLUDED = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "configs/README.md": "rows.md",
}


def links_of_the_site(folder: Path, text: str) -> str:
    """Turn the links of a file in `folder`, which work on GitHub, into links of the site."""

    def change(link: re.Match) -> str:
        path = Path(folder, link[1]).resolve()
        if not path.exists():
            return link[0]
        name = str(path.relative_to(ROOT))
        page = INCLUDED.get(name, f"../{name}")
        return f"]({page.removeprefix('../docs/')}"

    return re.sub(r"\]\(([^)#\s:]+)", change, text)


def setup(app):
    """Connect the functions below."""
    app.connect("source-read", _read_page)
    app.connect("include-read", _read_included)


def _read_page(app, page: str, source: list[str]) -> None:
    if "/" not in page:
        source[0] = links_of_the_site(ROOT / "docs", source[0])


def _read_included(app, path: Path, page: str, source: list[str]) -> None:
    source[0] = links_of_the_site((ROOT / "docs" / path).resolve().parent, source[0])
