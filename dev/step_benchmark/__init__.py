"""What a training step takes: the work of dev/benchmark_step.py."""
