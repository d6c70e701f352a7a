"""From raw data to a published snapshot: one file a stage, called in order by `build`."""

from __future__ import annotations

from polyport.pipeline.build import BuildResult, Job, build
from polyport.pipeline.progress import Activity

__all__ = ["Activity", "BuildResult", "Job", "build"]
