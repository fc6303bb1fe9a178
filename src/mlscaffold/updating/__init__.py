"""Compute a merge of two renders, apply it in one step, and undo it."""
