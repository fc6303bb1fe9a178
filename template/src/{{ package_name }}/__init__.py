"""From raw data to a registered model: one module per pipeline stage, in order fetch, preprocess,
train, evaluate, register.
"""
