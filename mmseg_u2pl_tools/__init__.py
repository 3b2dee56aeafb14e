"""Code that only the tools use: command line, config wrapping, splits, annotation formats."""
