"""Rows in, tensors out: fetching, validation, splitting, encoding and batching."""
