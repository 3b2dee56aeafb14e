"""What a training step takes: the work of tools/benchmark_step.py."""
