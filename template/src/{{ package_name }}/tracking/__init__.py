"""Where runs are recorded and models are registered; one file per back-end."""
