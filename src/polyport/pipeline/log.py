"""A run's processing log and error log: JSON lines, each written through as it happens, no secret in them."""

from __future__ import annotations

import fcntl
import json
import traceback
from datetime import UTC
from typing import TYPE_CHECKING, Any, Literal, Self

from polyport.errors import PolyportError, StoreError
from polyport.pipeline.folders import safe, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime
    from pathlib import Path
    from typing import TextIO

Level = Literal["info", "warning", "error"]
_NAMED = ("at", "level", "run", "stage", "name", "message")


class RunLog:
    """The two logs of one run, open for writing. Close it, or use it in `with`.

    `<folder>/<run>.log` has every event, `<run>.errors.log` each error in full, with traceback where there is one.
    """

    def __init__(
        self,
        folder: Path,
        run: str,
        *,
        clock: Callable[[], datetime],
        secrets: Collection[str] = (),
    ) -> None:
        """Begin the logs.

        Args:
            folder: Where logs live; made when missing.
            run: The run's id.
            clock: Says when an event happened.
            secrets: Values to write as `***`, wherever they appear.

        Raises:
            StoreError: No space, or no permission.
        """
        self.path = folder / f"{safe(run)}.log"
        self.errors_path = folder / f"{safe(run)}.errors.log"
        self._run = run
        self._clock = clock
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._errors = self.errors_path.open("a", encoding="utf-8")
        try:
            with writing(self.path):
                self._all = self.path.open("a", encoding="utf-8")
                fcntl.flock(self._all, fcntl.LOCK_SH)  # until it ends, however it ends
        except StoreError:
            self._errors.close()
            raise

    def event(
        self,
        stage: str,
        name: str,
        *,
        message: str,
        level: Level = "info",
        details: Mapping[str, object] | None = None,
    ) -> None:
        """Write one event.

        Raises:
            StoreError: No space.
        """
        self._put(self._all, self.path, self._line(level, stage, name, message, details or {}))

    def error(self, error: BaseException, *, stage: str = "", name: str = "") -> None:
        """Write an error: one line in the processing log, all of it in the error log.

        Raises:
            StoreError: No space.
        """
        record = error.record() if isinstance(error, PolyportError) else {}
        message = str(record.pop("message", "") or f"{type(error).__name__}: {error}")
        self._put(self._all, self.path, self._line("error", stage, name, message, record))
        if not isinstance(error, PolyportError) or error.__cause__ is not None:
            record["traceback"] = "".join(traceback.format_exception(error))
        line = self._line("error", stage, name, message, record)
        self._put(self._errors, self.errors_path, line)

    def close(self) -> None:
        """Close both files."""
        self._all.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _line(
        self, level: Level, stage: str, name: str, message: str, details: Mapping[str, object]
    ) -> str:
        at = self._clock().astimezone(UTC).isoformat(timespec="milliseconds")
        values = (at.replace("+00:00", "Z"), level, self._run, stage, name, message)
        whole = dict(zip(_NAMED, values, strict=True)) | {k: v for k, v in details.items() if v}
        # A line or paragraph separator in a value must not look like a new event to a person's tools.
        return json.dumps(self._clean(whole), ensure_ascii=False, default=str)

    def _clean(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._clean(str(k)): self._clean(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(v) for v in value]
        if isinstance(value, int | float | None):
            return value
        return redact(str(value), self._secrets)

    def _put(self, file: TextIO, path: Path, line: str) -> None:
        with writing(path):
            file.write(line + "\n")
            file.flush()


def redact(text: str, secrets: Collection[str]) -> str:
    """`text` with every value of `secrets` as `***`; give longer ones first."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
