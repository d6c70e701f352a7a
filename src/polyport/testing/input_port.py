"""What every input port has to do. Subclass `InputPortTests`, say how to make a source, and run it with pytest."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pytest

from polyport.engine.duckdb import DuckDBEngine
from polyport.errors import ConfigurationError, InputError
from polyport.ports import load
from polyport.ports.input import InputContext, RawObject

if TYPE_CHECKING:
    from collections.abc import Iterable

    from polyport.model import Relation
    from polyport.ports.input import InputPort


class RawFolder:
    """A raw store for tests: a folder in which equal bytes are kept once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(
        self,
        name: str,
        content: Iterable[bytes] | Path,
        *,
        origin: str,
        media_type: str = "application/octet-stream",
    ) -> RawObject:
        """See `polyport.ports.input.Keep`."""
        begun = self.folder / "begun"
        digest = hashlib.sha256()
        with begun.open("wb") as sink:
            chunks = [content.read_bytes()] if isinstance(content, Path) else content
            for chunk in chunks:
                digest.update(chunk)
                sink.write(chunk)
        sha = digest.hexdigest()
        path = begun.rename(self.folder / f"{sha}{Path(name).suffix}")
        size, now = path.stat().st_size, datetime.now(UTC)
        return RawObject(name, path, sha, size, media_type, origin, now)


def rows(read: Relation | pa.RecordBatchReader) -> list[dict[str, Any]]:
    """The rows of what `InputPort.read` gave."""
    if isinstance(read, pa.RecordBatchReader):
        with read:
            found: list[dict[str, Any]] = read.read_all().to_pylist()
            return found
    with DuckDBEngine() as engine, engine.query("SELECT * FROM came", {"came": read}) as reader:
        made: list[dict[str, Any]] = reader.read_all().to_pylist()
        return made


class InputPortTests(ABC):
    """The promises of `polyport.ports.input.InputPort`, tried on one source.

    Example:
        class TestMine(InputPortTests):
            port_type = "mine"

            def source(self, folder): ...   # make a source in `folder`; an InputContext for it
            def expected(self): ...         # its rows
            def remove(self, folder): ...   # make the source go away
            def change(self, folder): ...   # add something to it
    """

    port_type: ClassVar[str]
    """The entry point's name."""

    @abstractmethod
    def source(self, folder: Path) -> InputContext:
        """Make a source; the context with which a port reads it."""

    @abstractmethod
    def expected(self) -> list[dict[str, Any]]:
        """The rows of the source, in any order."""

    @abstractmethod
    def remove(self, folder: Path) -> None:
        """Make the source go away."""

    @abstractmethod
    def change(self, folder: Path) -> None:
        """Change what the source holds."""

    def test_it_reads_the_rows(self, tmp_path: Path) -> None:
        """What is fetched and read is what the source holds."""
        port, keep = self._port(tmp_path)
        assert _same(rows(port.read(port.fetch(keep, None))), self.expected())

    def test_a_run_is_rebuilt_from_what_was_kept_alone(self, tmp_path: Path) -> None:
        """With the source gone, another port of the same settings reads the same rows, twice."""
        context = self.source(_folder(tmp_path))
        made: type[InputPort] = load("input", self.port_type)
        received = made(context).fetch(RawFolder(tmp_path / "raw"), None)
        self.remove(tmp_path / "source")
        for _ in range(2):
            assert _same(rows(made(context).read(received)), self.expected())

    def test_what_is_kept_is_named_and_hashed(self, tmp_path: Path) -> None:
        """Each kept object has its digest, its size, a name without a path, and an origin without secrets."""
        context = self.source(_folder(tmp_path))
        port: InputPort = load("input", self.port_type)(context)
        received = port.fetch(RawFolder(tmp_path / "raw"), None)
        assert received.port == context.spec.name
        assert received.objects
        for kept in received.objects:
            content = kept.path.read_bytes()
            assert hashlib.sha256(content).hexdigest() == kept.sha256
            assert len(content) == kept.bytes
            assert "/" not in kept.name
            assert kept.origin
        for secret in context.secrets.values():
            assert secret not in repr(received)

    def test_the_identity_is_that_of_the_content(self, tmp_path: Path) -> None:
        """Equal content, equal identity; other content, another one."""
        port, keep = self._port(tmp_path)
        first = port.fetch(keep, None)
        assert port.fetch(keep, first).identity == first.identity
        self.change(tmp_path / "source")
        assert port.fetch(keep, first).identity != first.identity

    def test_a_source_that_is_gone_is_an_input_error(self, tmp_path: Path) -> None:
        """The error names the port and what to do."""
        context = self.source(_folder(tmp_path))
        self.remove(tmp_path / "source")
        port: InputPort = load("input", self.port_type)(context)
        with pytest.raises(InputError) as caught:
            port.fetch(RawFolder(tmp_path / "raw"), None)
        assert context.spec.name in caught.value.where
        assert caught.value.fix
        for secret in context.secrets.values():
            assert secret not in str(caught.value)

    def test_an_unknown_setting_is_refused(self, tmp_path: Path) -> None:
        """A misspelt setting is not passed over."""
        context = self.source(_folder(tmp_path))
        spec = context.spec
        settings = {**spec.settings, "no_such_setting": 1}
        changed = type(spec)(spec.name, spec.type, settings=settings)
        with pytest.raises(ConfigurationError, match="no_such_setting"):
            load("input", self.port_type)(InputContext(changed, context.home))

    def _port(self, folder: Path) -> tuple[InputPort, RawFolder]:
        context = self.source(_folder(folder))
        return load("input", self.port_type)(context), RawFolder(folder / "raw")


def _folder(folder: Path) -> Path:
    made = folder / "source"
    made.mkdir(exist_ok=True)
    return made


def _same(came: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    def order(row: dict[str, Any]) -> str:
        return repr(sorted(row.items(), key=lambda item: item[0]))

    assert sorted(map(order, came)) == sorted(map(order, wanted))
    return True
