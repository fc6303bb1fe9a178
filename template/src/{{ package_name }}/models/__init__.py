"""Models, one per file, and the bundle, a trained model on disk."""
