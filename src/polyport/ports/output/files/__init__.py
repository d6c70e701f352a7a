"""The files port: every dataset as CSV, Parquet, XLSX, JSON, NDJSON and Arrow; downloaded, or pushed to a folder."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING
from urllib.parse import quote

from polyport.model import Principal
from polyport.ports.http import guarded
from polyport.ports.output import Download
from polyport.ports.output.files import push, settings
from polyport.ports.output.files.cache import LIMIT, Cache
from polyport.ports.output.files.serve import Handler

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from starlette.types import ASGIApp

    from polyport.access import View
    from polyport.model import Snapshot
    from polyport.ports.output import OutputContext

__all__ = ["FilesPort"]


class FilesPort:
    """Files of rows: served over HTTP under `mount`, and written to a folder at each publish if `push` is set."""

    def __init__(
        self, context: OutputContext, *, cache: Path | None = None, cache_bytes: int = LIMIT
    ) -> None:
        """A port that keeps what it renders below `cache` (default: the temporary folder), up to `cache_bytes`.

        Raises:
            ConfigurationError: A setting is unknown or cannot be used.
        """
        self.context = context
        self.formats = settings.formats(context.spec)
        self.pushing = settings.push(context.product, context.spec)
        self.cache = Cache(cache or context.scratch, limit=cache_bytes)

    @property
    def mount(self) -> str:
        """`/files/v{major}`, under the product."""
        return f"/files/v{self.context.spec.major}"

    def app(self) -> ASGIApp:
        """The list of files at `/`, the files below it."""
        return guarded(Handler(self.context, self.formats, self.cache))

    def client_line(self, base_url: str, dataset: str) -> str:
        """A command that downloads `dataset`, as CSV where that is offered."""
        suffixes = [form.suffix for form in self.formats]
        suffix = "csv" if "csv" in suffixes else suffixes[0]
        name = quote(f"{dataset}.{suffix}", safe="")
        return f"curl -fsSO {shlex.quote(f'{base_url}/{name}')}"

    def downloads(self, view: View) -> Sequence[Download]:
        """Each dataset in each format, of the view's snapshot."""
        handler, pinned = Handler(self.context, self.formats, self.cache), view.snapshot.sequence
        found = []
        for dataset in view.datasets:
            for form in self.formats:
                name = f"{dataset}.{form.suffix}"
                key = handler.key(view, name)
                path = f"/{quote(name, safe='')}?snapshot={pinned}"
                size, digest = self.cache.size(key), self.cache.sha256(key)
                found.append(Download(path, dataset, form.media_type, form.label, size, digest))
        return found

    def snippets(self, base_url: str, dataset: str) -> Mapping[str, str]:
        """Lines for pandas, which reads the CSV file, and DuckDB, the Parquet file, where offered."""
        suffixes = {form.suffix for form in self.formats}
        stem = f"{base_url}/{quote(dataset, safe='')}"
        found: dict[str, str] = {}
        if "csv" in suffixes:
            address = f"{stem}.csv"
            found["pandas"] = f"import pandas\nprint(pandas.read_csv({address!r}))"
        if "parquet" in suffixes:
            lines = (
                "import duckdb, urllib.request",
                f"file, _ = urllib.request.urlretrieve({f'{stem}.parquet'!r})",
                "print(duckdb.read_parquet(file))",
            )
            found["duckdb"] = "\n".join(lines)
        return found

    def push(self, snapshot: Snapshot, previous: Snapshot | None, home: Path) -> Sequence[str]:  # noqa: ARG002
        """The URIs of the files written for `snapshot`; none without `push` settings, or where all were there.

        Raises:
            ConfigurationError: The target is not a folder.
            StoreError: No space, or no permission; `latest` is what it was.
            AccessError: The role may not read a dataset.
        """
        if self.pushing is None:
            return ()
        principal = Principal(
            f"port:{self.context.spec.name}",
            frozenset({self.pushing.role}),
            needs_agreement=False,  # the product itself writes, as its own settings say
        )
        with self.context.open(principal, snapshot.id, purpose=self.pushing.purpose) as view:
            target = home / self.pushing.to
            return push.push(view, self.context.product, self.pushing, target)

    def targets(self, home: Path) -> Sequence[Path]:
        """The folder that is pushed to."""
        return () if self.pushing is None else (home / self.pushing.to,)

    def push_again(self, snapshots: Sequence[Snapshot], home: Path) -> Sequence[str]:
        """The URIs of the files written anew; folders of snapshots that are kept no more are removed.

        Raises:
            ConfigurationError, StoreError, AccessError: As `push`.
        """
        written: list[str] = []
        for target in self.targets(home):
            there = push.sequences(target, self.context.product.id)
            kept = {s.sequence: s for s in snapshots}
            for sequence in there:
                if sequence in kept:
                    written += self.push(kept[sequence], None, home)
            push.remove(target, [n for n in there if n not in kept])
        return written

    def close(self) -> None:
        """Remove what was rendered."""
        self.cache.close()
