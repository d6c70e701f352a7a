"""Lineage of a run: what it read, what it made, and which column came from which, as OpenLineage events."""

from polyport.pipeline.lineage.events import Seen, Told, aborted, ended, failed, started
from polyport.pipeline.lineage.send import Target, keep_and_send

__all__ = ["Seen", "Target", "Told", "aborted", "ended", "failed", "keep_and_send", "started"]
