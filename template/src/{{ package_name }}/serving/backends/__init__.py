"""What computes a model: each file has a function `load` that returns a function of inputs."""
