"""What only the tools use: command line, wrapping of configs, splits, annotation formats."""
