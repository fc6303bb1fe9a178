"""Write the pipeline into a file for Kubeflow Pipelines.

Settings that are given here are the default of the pipeline's parameter `overrides`.
"""

import logging
from pathlib import Path

from ..compose import stage
from .config import PipelineConfig, given_overrides

log = logging.getLogger(__name__)

PIPELINE_YAML = Path("pipelines/pipeline.yaml")


@stage(PipelineConfig, "pipeline")
def main(config: PipelineConfig) -> None:
    """Compile dvc.yaml and the quality gate."""
    from kfp.compiler import Compiler

    from .kubeflow import build

    pipeline = build(config, given_overrides())
    PIPELINE_YAML.parent.mkdir(exist_ok=True)
    Compiler().compile(pipeline, str(PIPELINE_YAML))
    log.info("%s: %s", PIPELINE_YAML, pipeline.description)


if __name__ == "__main__":
    main()
