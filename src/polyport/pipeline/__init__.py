"""From raw data to a published snapshot: one file a stage, called in order by `build`."""

from __future__ import annotations

from polyport.pipeline.build import BuildResult, Job, build
from polyport.pipeline.progress import Activity
from polyport.pipeline.running import Around, run

__all__ = ["Activity", "Around", "BuildResult", "Job", "build", "run"]
