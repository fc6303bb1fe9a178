"""The proofs that a training resumes: each a function that returns what it found."""
