"""Evaluation of a model: metrics, baselines, plots and the model card."""
