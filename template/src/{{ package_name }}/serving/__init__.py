"""Predictions of a bundle over HTTP; one folder per back-end."""
