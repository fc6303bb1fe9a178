"""The loops that `benchmarks/training.py` times, and what they train."""
