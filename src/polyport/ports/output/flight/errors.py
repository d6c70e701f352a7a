"""Our errors as those of Arrow Flight: what a client is told, and nothing of how the server runs."""

from __future__ import annotations

import logging
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import pyarrow as pa
from pyarrow import flight

from polyport.access.sql import CancelledError
from polyport.errors import (
    AccessError,
    AuthenticationError,
    LimitError,
    NotFoundError,
    PolyportError,
    QueryError,
    RetiredError,
    SizeError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

P = ParamSpec("P")
R = TypeVar("R")
log = logging.getLogger("polyport.flight")


class _Untold:
    """An error whose traceback cannot be written out, for pyarrow would send it to the client.

    It does so for all but those of Flight, and in `get_schema` for these, too. Where it cannot, it sends the class's
    name.
    """

    @property
    def __cause__(self) -> NoReturn:
        raise AttributeError("a client is told what is wrong, not where in the server")


class InvalidArgument(_Untold, pa.ArrowInvalid):  # type: ignore[misc]
    """`INVALID_ARGUMENT`."""


class NotFound(_Untold, pa.ArrowKeyError):  # type: ignore[misc]
    """`NOT_FOUND`."""


class Unimplemented(_Untold, pa.ArrowNotImplementedError):  # type: ignore[misc]
    """`UNIMPLEMENTED`."""


class Unauthenticated(_Untold, flight.FlightUnauthenticatedError):  # type: ignore[misc]
    """`UNAUTHENTICATED`."""


class Unauthorized(_Untold, flight.FlightUnauthorizedError):  # type: ignore[misc]
    """`PERMISSION_DENIED`."""


class Unavailable(_Untold, flight.FlightUnavailableError):  # type: ignore[misc]
    """`UNAVAILABLE`."""


class Cancelled(_Untold, flight.FlightCancelledError):  # type: ignore[misc]
    """`CANCELLED`."""


class Failed(_Untold, flight.FlightServerError):  # type: ignore[misc]
    """`UNKNOWN`."""


class Internal(_Untold, flight.FlightInternalError):  # type: ignore[misc]
    """`INTERNAL`."""


class NoUpdateError(QueryError):
    """Something is to be changed, and nothing can be."""


_KINDS: tuple[tuple[type[PolyportError], Callable[[str], Exception]], ...] = (
    (CancelledError, Cancelled),
    (AuthenticationError, Unauthenticated),
    (AccessError, Unauthorized),
    (LimitError, Unavailable),
    (NotFoundError, NotFound),
    (RetiredError, NotFound),
    (NoUpdateError, Unimplemented),
    (QueryError, InvalidArgument),
    (SizeError, InvalidArgument),
)


def told(error: Exception, *, cancelled: bool = False, closed: bool = False) -> Exception:
    """What a client is told of `error`: the message, the fix and the code.

    What is no error of ours is a mistake of ours: it is logged, and the client learns that there was one.
    """
    if isinstance(error, _Untold):
        same: Exception = error
        return same
    made: Exception
    if cancelled:
        made = Cancelled("the statement was cancelled")
    elif closed:
        made = Unavailable("the server closes")
    elif isinstance(error, PolyportError):
        kind = next((k for e, k in _KINDS if isinstance(error, e)), Failed)
        made = kind(f"{error.remote} [{error.code}]")
    else:
        log.error("a call of Flight failed", exc_info=error)
        made = Internal("the server failed; its log says more")
    return made


def telling(method: Callable[P, R]) -> Callable[P, R]:
    """A method of the server whose errors are told as Flight has them: the one boundary."""

    @wraps(method)
    def bounded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the boundary of the port
            raise told(error) from None

    return bounded
