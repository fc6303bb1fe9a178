"""Where runs are recorded and models are registered; one folder per back-end."""
