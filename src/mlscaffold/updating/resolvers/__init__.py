"""Rules that settle a conflict which only looks like one, and the check that each has to pass."""
