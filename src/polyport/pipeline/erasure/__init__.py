"""Erasure: a person's or entity's rows go from everything that is kept, and a proof that no kept byte holds them.

`find` says who it is and which rows, `store.erase` writes the snapshots without them, `clean` takes them out of what is
kept beside the store, `survey` looks through every byte (`pieces` decodes, `wanted` compares), `tombstones` keeps them
from coming back, and `run` is the whole in order.
"""

from __future__ import annotations

from polyport.pipeline.erasure.find import find
from polyport.pipeline.erasure.run import erase, plans, preview, prove, resume
from polyport.pipeline.erasure.types import Found, Outcome, Preview, Request, Scene, Survey, Target

__all__ = [
    "Found",
    "Outcome",
    "Preview",
    "Request",
    "Scene",
    "Survey",
    "Target",
    "erase",
    "find",
    "plans",
    "preview",
    "prove",
    "resume",
]
