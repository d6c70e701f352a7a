"""Everything that can go wrong, as one tree.

* PolyportError               PP000  exit 1   HTTP 500
  + DescriptorError           PP100  exit 2   HTTP 422  the product's own files are wrong (all problems at once)
  + ConfigurationError        PP200  exit 2   HTTP 422  a setting or an address that cannot be used
  + MissingExtraError         PP210  exit 2   HTTP 501  an optional dependency is not installed
  + BuildError                PP300  exit 3   HTTP 500  a build stopped; nothing was published
    - InputError              PP310           an input port could not be read
    - TransformError          PP320           the product's own SQL or Python failed
    - QualityError            PP330           the data was built, and the quality gate held it back
  + AccessError               PP400  exit 4   HTTP 403  the policy does not let this principal see this
  + AuthenticationError       PP401  exit 4   HTTP 401  it is not known who asks
  + NotFoundError             PP410  exit 5   HTTP 404  no such product, dataset, row, snapshot or port
  + RetiredError              PP411  exit 5   HTTP 410  a product or port that is no longer served
  + QueryError                PP420  exit 6   HTTP 400  the consumer's request is not one that a port may run
  + LimitError                PP421  exit 6   HTTP 429  more was asked for than the product's limits allow
  + SizeError                 PP422  exit 6   HTTP 403  one read asks for more rows than the product's limits allow
  + ConflictError             PP430  exit 7   HTTP 409  someone else published first
  + StoreError                PP440  exit 8   HTTP 507  the store could not be read or written

Each class fixes four things once: a stable `code`, what it is called (`title`), the CLI's exit code, the HTTP status.
Each instance has one sentence, the place to look, and what to do next. Problems found in a product's files are
`Diagnostic`s, gathered in one `DescriptorError`; their codes (PP001 ... PP299) are explained in
`polyport.descriptor.codes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from polyport.model import QualityReport, Run

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Place:
    """A span in a file. Lines and columns count from 1; `end_column` is exclusive."""

    file: str
    """As the user would type it: relative to where the command runs, if it lies below."""
    line: int = 0
    """0: the file as a whole."""
    column: int = 0
    end_column: int = 0
    source: str = ""
    """The text of the line."""
    label: str = ""
    """What to say under the caret."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem in a product's files."""

    code: str
    message: str
    """One sentence, with the offending value in it."""
    places: tuple[Place, ...] = ()
    """The first is where the problem is; the others are related (the first of two duplicate keys)."""
    fix: str = ""
    """"did you mean", the valid values, or the edit to make."""
    severity: Severity = "error"


class PolyportError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        message: What is wrong, in one sentence, with the offending value in it.
        where: The place to look: `file:line:column`, a dataset, or a port. Empty where there is none.
        fix: What to do next: a command, an edit, the valid values. Empty where nothing is known to help.
        unchanged: What still holds ("nothing was published; snapshot 41 is still served").
    """

    run: Run | None = None
    """The run that it ended, where there was one."""
    report: QualityReport | None = None
    """What the quality gate had found by then."""
    code: ClassVar[str] = "PP000"
    title: ClassVar[str] = "Something failed"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(
        self, message: str, *, where: str = "", fix: str = "", remote_fix: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.fix = fix
        self.unchanged = ""
        self._remote_fix = remote_fix

    def __str__(self) -> str:
        return self._sentence(self.fix)

    @property
    def remote_fix(self) -> str:
        """`fix`, for whoever reads over a network: an address where `fix` is a command of the product's machine."""
        return self._remote_fix or self.fix

    @property
    def remote(self) -> str:
        """The error as one line, for whoever reads over a network."""
        return self._sentence(self.remote_fix)

    def _sentence(self, fix: str) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        return f"{head} ({fix})" if fix else head

    def record(self) -> dict[str, object]:
        """The error as a flat mapping: for `--json` and for logs."""
        named = {"where": self.where, "fix": self.fix, "unchanged": self.unchanged}
        return {"code": self.code, "message": self.message, **{k: v for k, v in named.items() if v}}

    def problem(self) -> dict[str, object]:
        """The error as an RFC 9457 problem object: `title` is of its type, `detail` of this occurrence."""
        members = {"fix": self.remote_fix, "where": self.where}
        return {
            "type": f"urn:polyport:error:{self.code}",
            "title": self.title,
            "status": self.http_status,
            "detail": self.message,
            "code": self.code,
            **{k: v for k, v in members.items() if v},
        }


class DescriptorError(PolyportError):
    """The product's own files are wrong. Carries every problem found, in file order."""

    code, exit_code, http_status = "PP100", 2, 422
    title = "The product's own files are wrong"

    def __init__(
        self,
        message: str,
        *,
        where: str = "",
        fix: str = "",
        diagnostics: tuple[Diagnostic, ...] = (),
    ) -> None:
        super().__init__(message, where=where, fix=fix)
        self.diagnostics = diagnostics

    def problem(self) -> dict[str, object]:
        """See `PolyportError.problem`; `errors` has each problem found."""
        found = [
            {
                "code": d.code,
                "severity": d.severity,
                "message": d.message,
                "where": str(d.places[0]) if d.places else "",
                "fix": d.fix,
            }
            for d in self.diagnostics
        ]
        return {**super().problem(), "errors": found}


class ConfigurationError(PolyportError):
    """A setting, a command line or an address cannot be used as given."""

    code, exit_code, http_status = "PP200", 2, 422
    title = "A setting or an address cannot be used"


class MissingExtraError(PolyportError):
    """An optional dependency is not installed; `fix` is the command that installs it."""

    code, exit_code, http_status = "PP210", 2, 501
    title = "An optional dependency is not installed"


class BuildError(PolyportError):
    """A build stopped; nothing was published."""

    code, exit_code = "PP300", 3
    title = "The build stopped"


class InputError(BuildError):
    """An input port could not be read, or brought something other than what was expected."""

    code = "PP310"
    title = "An input port could not be read"


class TransformError(BuildError):
    """The product's own SQL or Python failed."""

    code = "PP320"
    title = "The product's own SQL or Python failed"


class QualityError(BuildError):
    """The data was built, and the quality gate held it back."""

    code = "PP330"
    title = "The quality gate held the data back"


class AccessError(PolyportError):
    """The policy does not let this principal see this; `message` says why."""

    code, exit_code, http_status = "PP400", 4, 403
    title = "The policy does not allow it"


class AuthenticationError(PolyportError):
    """It is not known who asks: no credentials, or some that are wrong, expired or revoked."""

    code, exit_code, http_status = "PP401", 4, 401
    title = "It is not known who asks"


class NotFoundError(PolyportError):
    """No such product, dataset, row, snapshot or port."""

    code, exit_code, http_status = "PP410", 5, 404
    title = "There is no such thing"


class RetiredError(PolyportError):
    """The product or port is no longer served; `fix` names its successor."""

    code, exit_code, http_status = "PP411", 5, 410
    title = "It is no longer served"


class QueryError(PolyportError):
    """A query that cannot be run. From a port: the consumer's. In a build: see `TransformError`.

    Attributes:
        line: 1-based line in the SQL text that was given, or 0 where the engine named none.
        column: 1-based column, or 0.
    """

    code, exit_code, http_status = "PP420", 6, 400
    title = "The request cannot be run"

    def __init__(
        self, message: str, *, where: str = "", fix: str = "", line: int = 0, column: int = 0
    ) -> None:
        super().__init__(message, where=where, fix=fix)
        self.line = line
        self.column = column


class LimitError(PolyportError):
    """More was asked for than the product's limits allow.

    Attributes:
        retry_after: Seconds after which to ask again; 0 where waiting does not help.
    """

    code, exit_code, http_status = "PP421", 6, 429
    title = "More was asked for than the limits allow"

    def __init__(
        self, message: str, *, where: str = "", fix: str = "", retry_after: int = 0
    ) -> None:
        super().__init__(message, where=where, fix=fix)
        self.retry_after = retry_after


class SizeError(PolyportError):
    """One read asks for more rows than the limits allow. No 429: to wait does not help, to ask for less does."""

    code, exit_code, http_status = "PP422", 6, 403
    title = "One read asks for more rows than the limits allow"


class ConflictError(PolyportError):
    """Someone else published first."""

    code, exit_code, http_status = "PP430", 7, 409
    title = "Someone else was first"


class StoreError(PolyportError):
    """The store could not be read or written: no space, no permission, a damaged file."""

    code, exit_code, http_status = "PP440", 8, 507
    title = "The store could not be read or written"
