"""Atomic checkpoints, and runs that continue from them exactly."""
