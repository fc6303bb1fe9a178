"""Training: the loop, its callbacks, optimizers, checkpoints and launchers."""
