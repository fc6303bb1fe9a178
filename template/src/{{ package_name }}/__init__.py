"""From raw data to a served model: one module per pipeline stage, in order fetch, preprocess,
train, evaluate, register, serve.
"""
