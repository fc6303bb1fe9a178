"""How a merge of two renders is computed, applied in one step, and undone."""
