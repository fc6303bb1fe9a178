"""Who starts the processes that train: a file each, and the only ones that know a cluster."""
