"""What `reliability/tracking.py` does to a server and a training, in a rendered project."""
