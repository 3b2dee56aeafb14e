"""Small helpers for several packages."""
