"""Datasets: reading, splitting, encoding and batching."""
