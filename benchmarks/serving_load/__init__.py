"""What loads the servers of a benchmark, and what reads their costs."""
