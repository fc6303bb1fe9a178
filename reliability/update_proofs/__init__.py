"""The proofs that an update loses nothing: each a function that returns what it found."""
