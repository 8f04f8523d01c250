"""The `cyclegan` command: everything that is not a stage of the pipeline."""

from cyclegan.cli.app import app

__all__ = ["app"]
