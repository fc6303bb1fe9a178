"""Models, one per file, and what a trained one is on disk."""
