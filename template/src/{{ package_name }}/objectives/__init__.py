"""What a model is trained for: its outputs, its loss, its predictions, its metrics."""
