"""Tests of the rendered project's engine, which tests/test_engine.py runs in a render.

They are part of that project: its fixtures are theirs, and its package is `toy_project`.
"""
