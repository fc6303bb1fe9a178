"""From a split to trained weights: the loop, what watches it, and how it resumes after a stop."""
