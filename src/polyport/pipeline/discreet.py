"""What a build says, without the secrets that it was given: whoever said it, a library, a source or a step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from polyport.pipeline.log import redact

if TYPE_CHECKING:
    from collections.abc import Collection

    from polyport.errors import PolyportError
    from polyport.model import Run, Step

_SHORTEST = 4
"""Characters. What is shorter is no secret, and would be found in every other word."""


def forms(secrets: Collection[str]) -> tuple[str, ...]:
    """The forms in which secrets may stand in a text, longest first: as they are, quoted by Python, in an address."""
    written = {
        form
        for secret in secrets
        if len(secret.strip()) >= _SHORTEST
        for form in (
            secret,
            repr(secret)[1:-1],
            quote(secret),
            quote(secret, safe=""),
            quote_plus(secret),
        )
    }
    return tuple(sorted(written, key=len, reverse=True))


def step(said: Step, hidden: Collection[str]) -> Step:
    """The step, with each of `hidden` as `***`."""
    return replace(said, detail=redact(said.detail, hidden))


def run(said: Run, hidden: Collection[str]) -> Run:
    """The run with its steps, with each of `hidden` as `***`."""
    steps = tuple(step(one, hidden) for one in said.steps)
    return replace(said, steps=steps, error=redact(said.error, hidden))


def clean(error: PolyportError, hidden: Collection[str]) -> None:
    """Write each of `hidden` as `***` in what `error` says."""
    error.message = redact(error.message, hidden)
    error.where = redact(error.where, hidden)
    error.fix = redact(error.fix, hidden)
    error.args = (error.message,)
    if error.run is not None:
        error.run = run(error.run, hidden)
