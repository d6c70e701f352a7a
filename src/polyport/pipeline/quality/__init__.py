"""The quality gate: every rule of a contract over what a build has written, before anybody can see it.

`compile` turns a contract into checks, `measure` counts with as few scans as possible, `aside` sets refused rows
aside, `facts` adds what every report says, `run` is the gate itself. What the rules mean stands in `docs/quality.md`.
"""

from __future__ import annotations

from polyport.pipeline.quality.run import gate
from polyport.pipeline.quality.types import Before, Candidate, Gate

__all__ = ["Before", "Candidate", "Gate", "gate"]
