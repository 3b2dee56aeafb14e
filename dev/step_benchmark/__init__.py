"""Time and memory of a training step, for dev/benchmark_step.py."""
