"""Objectives: loss, predictions and metrics."""
