"""What a platform asks of the server, beyond what every client does."""
