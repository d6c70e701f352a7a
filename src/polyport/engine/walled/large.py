"""Large answers that are given again: written to files without names as they are read, by those asked for twice."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyport.engine.walled.answers import SECONDS, Whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES = 4 << 30
"""Of all that are kept; one may be half of it."""
SPARED = 4
"""All together take no more than this part of what is free on the disk: a quarter."""
REMEMBERED = 1_000
"""How many of the answers that were given last are known to have been."""

_UNWRITTEN = (OSError, pa.ArrowException)
"""The disk is full; or the rows are such as a stream can hold and a file cannot: dictionaries that differ."""


@dataclass(frozen=True, slots=True)
class Large:
    """An answer in a file that only this process can find: it goes with the last who reads it."""

    whole: Whole
    """What was said of it; its rows are in `content`."""
    content: pa.Buffer

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Its rows, straight from the file."""
        with pa.ipc.open_file(self.content) as reader:
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)


@dataclass(slots=True)
class _Kept:
    answer: Large
    size: int
    timer: threading.Timer


@dataclass(slots=True)
class LargeAnswers:
    """Those of all sessions of this process; `close()` it. For any thread."""

    most_bytes: int = MOST_BYTES
    seconds: float = SECONDS
    _kept: OrderedDict[bytes, _Kept] = field(default_factory=OrderedDict)
    _given: OrderedDict[bytes, float] = field(default_factory=OrderedDict)
    """When those were given that are not kept."""
    _writing: set[bytes] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: bool = False

    def find(self, key: bytes) -> Large | None:
        """The answer, where it is kept."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found.answer

    def passing(
        self, key: bytes, whole: Whole, batches: Iterator[pa.RecordBatch], folder: Path
    ) -> Iterator[pa.RecordBatch]:
        """The same batches. Where the answer was given before, it is kept once they have been read to their end."""
        if not self._again(key):
            return batches
        return self._written(key, whole, batches, folder)

    def close(self) -> None:
        """Let go of all."""
        with self._lock:
            self._closed = True
            timers = [each.timer for each in self._kept.values()]
            for key in list(self._kept):
                self._drop(key)
        for timer in timers:
            timer.join()

    def _again(self, key: bytes) -> bool:
        """Whether it was given not long ago; it is given now."""
        now = time.monotonic()
        with self._lock:
            before = self._given.pop(key, None)
            self._given[key] = now
            while len(self._given) > REMEMBERED:
                self._given.popitem(last=False)
            return before is not None and now - before < self.seconds

    def _written(
        self, key: bytes, whole: Whole, batches: Iterator[pa.RecordBatch], folder: Path
    ) -> Iterator[pa.RecordBatch]:
        with self._lock:  # only now, for who never begins to read never ends it
            alone = key not in self._writing and not self._closed
            if alone:
                self._writing.add(key)
        if not alone:
            yield from batches
            return
        file = _File(folder, whole.schema, self.most_bytes)
        try:
            for batch in batches:
                file.write(batch)
                yield batch
            if (content := file.content()) is not None:
                self._keep(key, Large(whole, content))
        finally:
            file.close()
            with self._lock:
                self._writing.discard(key)

    def _keep(self, key: bytes, answer: Large) -> None:
        timer = threading.Timer(self.seconds, self._forget, [key])
        timer.daemon = True
        with self._lock:
            if self._closed:
                return
            if key in self._kept:
                self._drop(key)
            self._kept[key] = _Kept(answer, answer.content.size, timer)
            self._given.pop(key, None)
            timer.start()
            while sum(each.size for each in self._kept.values()) > self.most_bytes:
                self._drop(next(iter(self._kept)))

    def _forget(self, key: bytes) -> None:
        with self._lock:
            if key in self._kept:
                self._drop(key)

    def _drop(self, key: bytes) -> None:
        self._kept.pop(key).timer.cancel()


class _File:
    """A file without a name, as long as there is room for it; what cannot be written is no loss."""

    def __init__(self, folder: Path, schema: pa.Schema, most: int) -> None:
        self._file: Any = None
        self._writer: Any = None
        try:
            room = min(most // 2, shutil.disk_usage(folder).free // SPARED)
            self._left = room
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
            self._writer = pa.ipc.new_file(self._file, schema)
        except _UNWRITTEN:
            self.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add a batch, if there is still room."""
        if self._writer is None:
            return
        self._left -= batch.nbytes
        try:
            if self._left < 0:
                self.close()
            else:
                self._writer.write_batch(batch)
        except _UNWRITTEN:  # the answer goes on without
            self.close()

    def content(self) -> pa.Buffer | None:
        """All that was written, mapped into memory; None where there was no room."""
        if self._writer is None:
            return None
        try:
            self._writer.close()
            self._file.flush()
            size = os.fstat(self._file.fileno()).st_size
            with pa.memory_map(f"/proc/self/fd/{self._file.fileno()}") as mapped:
                return mapped.read_buffer(size)
        except _UNWRITTEN:
            return None

    def close(self) -> None:
        """Let go of the file; what is mapped of it stays."""
        self._writer = None
        if self._file is not None:
            self._file.close()
            self._file = None
