"""What `benchmarks/tracking.py` measures, inside a rendered project."""
