"""Generates complete machine-learning projects and keeps them in touch with their template."""
