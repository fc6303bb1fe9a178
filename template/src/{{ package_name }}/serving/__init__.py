"""A bundle behind HTTP, and nothing of how it was trained."""
