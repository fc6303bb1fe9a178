"""Generate complete machine-learning projects and update them with their template."""
