"""Raw and read: everything is received and kept before anything is read; a run can be rebuilt from what was kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from polyport.descriptor.text import plural
from polyport.errors import InputError, QueryError
from polyport.model import Files
from polyport.pipeline.explain import input_error
from polyport.pipeline.folders import safe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from polyport.engine import Engine
    from polyport.model import Relation
    from polyport.pipeline.progress import Recorder
    from polyport.pipeline.raw import RawStore
    from polyport.ports.input import InputPort, RawObject, Received

_SHOWN = 12
"""Characters of a digest."""
_UNITS = ("bytes", "KB", "MB", "GB", "TB")
_STEP = 1_000


def receive(
    inputs: Mapping[str, InputPort], raw: RawStore, recorder: Recorder, *, run: str
) -> Mapping[str, Received]:
    """What each input port has now, kept, and noted under `run`; incremental ports add to the last accepted run.

    Raises:
        InputError: An input port could not be read; those after it are not tried.
        StoreError: No space, or no permission.
    """
    previous = raw.latest()
    received = {}
    for name, port in inputs.items():
        with recorder.receiving(name, raw) as entry:
            received[name] = got = port.fetch(raw.keep, previous.get(name))
            entry.detail, entry.notes = _told(got), _origins(got)
    raw.record(run, received)
    return received


def receive_again(
    inputs: Mapping[str, InputPort], raw: RawStore, recorder: Recorder, *, run: str, from_run: str
) -> Mapping[str, Received]:
    """What `from_run` received, every byte checked, and noted under `run` too. No input port is asked.

    Raises:
        NotFoundError: No raw data of that run is kept.
        InputError: That run had no such input port.
        StoreError: A raw file was changed or is gone.
    """
    with recorder.step("raw", f"from run {from_run}") as entry:
        kept = raw.load(from_run)
        entry.detail = plural(sum(len(r.objects) for r in kept.values()), "object")
        missing = sorted(set(inputs) - set(kept))
        if missing:
            raise InputError(
                f"run {from_run} received nothing for {', '.join(missing)}",
                where=f"input port {missing[0]}",
                fix=f"build without it, or from a run that had it; it had: {', '.join(kept) or 'none'}",
            )
        received = {name: kept[name] for name in inputs}
        raw.record(run, received)
    return received


def read(
    inputs: Mapping[str, InputPort],
    received: Mapping[str, Received],
    *,
    engine: Engine,
    scratch: Path,
    recorder: Recorder,
) -> tuple[dict[str, Relation], dict[str, list[str]]]:
    """The rows of each input port as a relation, and its columns; what streams is written to `scratch` as it comes.

    Raises:
        InputError: The bytes are not what they should be, or not what the contract expects.
        StoreError: No space.
    """
    relations, columns = {}, {}
    for name, port in inputs.items():
        with recorder.step("read", name) as entry:
            relations[name] = found = _read(name, port, received[name], engine, scratch)
            try:
                columns[name] = engine.schema("SELECT * FROM source", {"source": found}).names
                entry.rows = _rows(found, engine)
            except QueryError as error:
                raise input_error(name, error, {name: received[name]}) from error
            rows = [] if entry.rows is None else [plural(entry.rows, "row")]
            entry.detail = ", ".join([_names(received[name].objects), *rows])
            entry.notes = received[name].notes
    return relations, columns


def _read(
    name: str, port: InputPort, received: Received, engine: Engine, scratch: Path
) -> Relation:
    found = port.read(received)
    if not isinstance(found, pa.RecordBatchReader):
        return found
    with found:
        return engine.consume(found, scratch / f"{safe(f'raw.{name}')}.parquet").relation


def _rows(relation: Relation, engine: Engine) -> int | None:
    """How many there are, where that costs no reading."""
    if not isinstance(relation.data, Files) or relation.data.format != "parquet" or relation.where:
        return None
    with engine.query("SELECT count(*) AS n FROM source", {"source": relation}) as reader:
        return int(reader.read_all()["n"][0].as_py())


def _told(received: Received) -> str:
    size = _size(sum(o.bytes for o in received.objects))
    kind, _, digest = received.identity.rpartition(":")
    identity = f"{kind} {digest[:_SHOWN]}" if kind == "sha256" else received.identity
    return ", ".join(filter(None, (_names(received.objects), size, identity)))


def _origins(received: Received) -> tuple[str, ...]:
    return (*(f"{o.origin}: sha256 {o.sha256}" for o in received.objects), *received.notes)


def _names(objects: tuple[RawObject, ...]) -> str:
    if not objects:
        return "nothing"
    more = f" and {len(objects) - 1:,} more" if len(objects) > 1 else ""
    return f"{objects[0].name}{more}"


def _size(number: float) -> str:
    for unit in _UNITS[:-1]:
        if number < _STEP:
            return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:,.1f} {unit}"
        number /= _STEP
    return f"{number:,.1f} {_UNITS[-1]}"
