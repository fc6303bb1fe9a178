"""Where each stage leaves its artefact, relative to the project's root, where every command is run."""

from pathlib import Path

CONFIGS = Path("configs")
PARAMS = Path("params.yaml")
EXTERNAL_DATA = Path("data/external")
RAW_CSV = Path("data/raw/dataset.csv")
PROCESSED = Path("data/processed")
CHECKPOINTS = Path("models/checkpoints")
BUNDLE = Path("models/bundle")
REPORTS = Path("reports")
