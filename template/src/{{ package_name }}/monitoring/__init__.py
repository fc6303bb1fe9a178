"""What the model did in production: a log, the truth that comes later, and a report on both."""
