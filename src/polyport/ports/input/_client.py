"""GET over HTTP for input ports: retries, a rate limit, a size limit, and credentials that stay with their host."""

from __future__ import annotations

import json
import logging
import random
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, Self
from urllib.parse import quote, quote_plus

import httpx

from polyport.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_REDIRECTS = 5
_PATIENCE = 300.0
"""Seconds that a `Retry-After` may ask for."""
_SHOWN = 120
_LONGEST = 500
"""Of what a problem says."""
_MOST_SAID = 16_384
_SLOWEST = 100
"""Bytes a second: an answer that comes more slowly for `timeout` seconds is given up."""
_HIDDEN = "***"
_UNAUTHORISED = (401, 403)
_ERRORS_FROM = 400


@dataclass(frozen=True, slots=True)
class Clock:
    """Time and chance, so that tests need neither."""

    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    random: Callable[[], float] = random.random


SYSTEM = Clock()


@dataclass(frozen=True, slots=True)
class Rules:
    """How often, how fast and how much."""

    retries: int = 5
    backoff: float = 0.5
    """Seconds before the second try; doubled for each further one, with jitter."""
    interval: float = 0.0
    """Seconds between the starts of two requests."""
    timeout: float = 30.0
    max_bytes: int = 256 * 1024 * 1024
    """Of one answer."""


@dataclass(frozen=True, slots=True)
class Auth:
    """What says who asks."""

    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.headers or self.params)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, in full."""

    url: str
    """Without secrets."""
    at: httpx.URL
    """As asked for, without what `Auth` adds."""
    headers: httpx.Headers
    body: bytes
    next_link: str = ""
    """RFC 8288 `rel="next"`."""


class _AgainError(Exception):
    """A failure after which trying again may help."""

    def __init__(self, said: str, wait: float | None = None) -> None:
        super().__init__(said)
        self.wait = wait


class Client:
    """Asks one host, for as long as it is open."""

    def __init__(
        self,
        url: str,
        *,
        rules: Rules,
        auth: Auth,
        secrets: Mapping[str, str],
        where: str,
        clock: Clock = SYSTEM,
    ) -> None:
        self.rules, self.auth, self.where, self.clock = rules, auth, where, clock
        self.hidden = _forms([*secrets.values(), *auth.params.values()])
        self.home = self.parsed(url)
        self._http = httpx.Client(timeout=rules.timeout, follow_redirects=False)
        self._last = float("-inf")
        self.status = 0
        """Of the last answer; 0: none came."""

    def __enter__(self) -> Self:
        logging.getLogger("httpx").addFilter(self._hide)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("httpx").removeFilter(self._hide)
        self._http.close()

    def _hide(self, record: logging.LogRecord) -> bool:
        """Take keys out of the addresses that httpx logs."""
        record.msg, record.args = self.clean(record.getMessage()), ()
        return True

    def parsed(self, url: str) -> httpx.URL:
        """`url`, if it is an address on the web.

        Raises:
            ConfigurationError: It is not.
        """
        try:
            found = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ConfigurationError("the url cannot be read", where=self.where) from error
        if found.scheme not in ("http", "https") or not found.host:
            raise ConfigurationError(
                f"{self.clean(url)!r} is not an http(s) address", where=self.where
            )
        return found

    def clean(self, text: str) -> str:
        """`text` without secrets."""
        for secret in self.hidden:
            text = text.replace(secret, _HIDDEN)
        return text

    def shown(self, url: httpx.URL) -> str:
        """`url` without secrets, keys and passwords."""
        for name in self.auth.params:
            url = url.copy_remove_param(name)
        return self.clean(str(url.copy_with(username=None, password=None, fragment=None)))

    def get(self, url: httpx.URL, *, what: str) -> Answer:
        """The answer of `url`. `what` it is, for messages: `page 3`.

        Raises:
            InputError: No good answer came, however often it was asked.
        """
        sink = BytesIO()
        headers = self.download(url, sink, what=what)
        link = httpx.Response(200, headers=headers).links.get("next", {}).get("url", "")
        return Answer(self.shown(url), url, headers, sink.getvalue(), link)

    def download(self, url: httpx.URL, sink: BinaryIO, *, what: str) -> httpx.Headers:
        """The headers of the answer, whose body goes into `sink`.

        Raises:
            InputError: As `get`.
        """
        said = ""
        for attempt in range(self.rules.retries + 1):
            sink.seek(0)
            sink.truncate()
            self._in_time()
            try:
                return self._once(url, sink, what)
            except _AgainError as error:
                said = str(error)
                if attempt < self.rules.retries:
                    self._wait(error, attempt, what, url)
        raise self.failed(f"{what} of {self.shown(url)} failed: {said}", self._tries())

    def failed(self, message: str, fix: str = "") -> InputError:
        """An InputError, without secrets."""
        return InputError(self.clean(message), where=self.where, fix=fix)

    def _tries(self) -> str:
        times = self.rules.retries + 1
        return f"it was tried {times} times; try later, or look at the service"

    def _in_time(self) -> None:
        """Wait until the rate allows one more request."""
        left = self._last + self.rules.interval - self.clock.monotonic()
        if left > 0:
            self.clock.sleep(left)
        self._last = self.clock.monotonic()

    def _wait(self, error: _AgainError, attempt: int, what: str, url: httpx.URL) -> None:
        backoff = self.rules.backoff * 2**attempt * (0.5 + self.clock.random() / 2)
        wait = backoff if error.wait is None else error.wait
        if wait > _PATIENCE:
            raise self.failed(
                f"{what} of {self.shown(url)}: {error}, and asks to wait {wait:,.0f} s",
                "build again later, or set `rate`",
            )
        self.clock.sleep(wait)

    def _once(self, url: httpx.URL, sink: BinaryIO, what: str) -> httpx.Headers:
        for _ in range(_REDIRECTS + 1):
            with self._asked(url, what) as response:
                if not response.has_redirect_location:
                    self._good(response, url, what)
                    self._take(response, sink, url, what)
                    return response.headers
                url = self._redirected(url, response.headers["location"], what)
        raise self.failed(f"{what} of {self.shown(url)}: more than {_REDIRECTS} redirects")

    @contextmanager
    def _asked(self, url: httpx.URL, what: str) -> Iterator[httpx.Response]:
        self._check_host(url, what)
        full = url.copy_merge_params(self.auth.params) if self.auth.params else url
        headers = {"accept": "application/json, */*;q=0.5", **self.auth.headers}
        try:
            with self._http.stream("GET", full, headers=headers) as response:
                yield response
        except (httpx.UnsupportedProtocol, httpx.DecodingError) as error:
            raise self.failed(f"{what} of {self.shown(url)} cannot be read: {error}") from error
        except httpx.TransportError as error:
            raise _AgainError(f"{type(error).__name__}: {error}") from error

    def _check_host(self, url: httpx.URL, what: str) -> None:
        """Credentials go to the host that they are for, and to no other."""
        if not self.auth or _host(url) == _host(self.home):
            return
        upgraded = url.scheme == "https" and url.host == self.home.host and url.port is None
        if upgraded and self.home.scheme == "http":
            return
        raise self.failed(
            f"{what} leads to another host, {url.host}: the credentials for {self.home.host} "
            "were not sent there",
            "if that host is right, write its address as `url`",
        )

    def _redirected(self, url: httpx.URL, location: str, what: str) -> httpx.URL:
        try:
            return url.join(location)
        except httpx.InvalidURL as error:
            raise self.failed(
                f"{what} of {self.shown(url)} redirects to no address: {location[:_SHOWN]!r}"
            ) from error

    def _good(self, response: httpx.Response, url: httpx.URL, what: str) -> None:
        status = self.status = response.status_code
        if status < _ERRORS_FROM and response.is_success:
            return
        said = f"status {status} {response.reason_phrase}".strip()
        if status in _AGAIN:
            raise _AgainError(said, self._retry_after(response.headers.get("retry-after", "")))
        body = next(response.iter_bytes(_MOST_SAID), b"")
        told, fix = _problem(response.headers.get("content-type", ""), body)
        if not fix:
            fix = (
                "check `auth` and the value it takes from the environment"
                if (status in _UNAUTHORISED)
                else "check `url` and `params`"
            )
        said = f"{said}: {told or excerpt(body)}"
        raise self.failed(f"{what} of {self.shown(url)}: {said}", self.clean(fix))

    def _retry_after(self, text: str) -> float | None:
        if text.strip().isdigit():
            return float(text)
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - self.clock.now())
        except ValueError:
            return None

    def _take(self, response: httpx.Response, sink: BinaryIO, url: httpx.URL, what: str) -> None:
        most = self.rules.max_bytes
        declared = response.headers.get("content-length", "0")
        size = int(declared) if declared.isdigit() else 0
        for chunk in self._steady(response) if size <= most else ():
            size = sink.tell() + len(chunk)
            if size > most:
                break
            sink.write(chunk)
        if size > most:
            raise self.failed(
                f"{what} of {self.shown(url)} has more than {most:,} bytes",
                "ask for smaller pages, or set `max_bytes`",
            )

    def _steady(self, response: httpx.Response) -> Iterator[bytes]:
        """The body, as long as it comes fast enough: the time between two reads is limited by `timeout` anyway."""
        begun, came = self.clock.monotonic(), 0
        for chunk in response.iter_bytes():
            yield chunk
            came += len(chunk)
            took = self.clock.monotonic() - begun
            if took < self.rules.timeout:
                continue
            if came < _SLOWEST * took:
                raise _AgainError(f"only {came:,} bytes came in {took:,.0f} s")
            begun, came = self.clock.monotonic(), 0


def _problem(media: str, body: bytes) -> tuple[str, str]:
    """What an RFC 9457 problem says is wrong, and what helps; nothing of anything else."""
    if not media.startswith("application/problem+json"):
        return "", ""
    try:
        said = json.loads(body)
    except ValueError:
        return "", ""
    if not isinstance(said, dict):
        return "", ""
    texts = (said.get(name) for name in ("detail", "fix"))
    detail, fix = (" ".join(t.split())[:_LONGEST] if isinstance(t, str) else "" for t in texts)
    return detail, fix


def excerpt(body: bytes) -> str:
    """The first characters of an answer, on one line."""
    text = " ".join(body[: 4 * _SHOWN].decode(errors="replace").split())
    return repr(text[:_SHOWN]) if text else "an empty body"


def authorised(given: Mapping[str, Any], secrets: Mapping[str, str], where: str) -> Auth:
    """The `Auth` of the setting `auth`: one of bearer, basic, header, query.

    Raises:
        ConfigurationError: It is none of them, or a value does not come from the environment.
    """
    if not given:
        return Auth()
    kind, value = next(iter(given.items()))
    if len(given) != 1 or kind not in ("bearer", "basic", "header", "query"):
        raise ConfigurationError(
            "auth cannot be read", where=where, fix="one of: bearer, basic, header, query"
        )
    if kind == "bearer":
        return Auth({"authorization": f"Bearer {_secret(value, kind, secrets, where)}"})
    if kind == "basic":
        user, password = _basic(value, where)
        _secret(password, kind, secrets, where)
        request = httpx.Request("GET", "http://localhost")
        signed = next(httpx.BasicAuth(user, password).auth_flow(request))
        return Auth({"authorization": signed.headers["authorization"]})
    if not isinstance(value, dict):
        raise ConfigurationError(
            f"auth.{kind} must be a mapping", where=where, fix=f"`{kind}: {{NAME: ${{TOKEN}}}}`"
        )
    found = {str(n): _secret(v, kind, secrets, where) for n, v in value.items()}
    return Auth(found) if kind == "header" else Auth(params=found)


def _basic(value: Any, where: str) -> tuple[str, str]:
    if isinstance(value, dict) and value.keys() == {"user", "password"}:
        return str(value["user"]), str(value["password"])
    if isinstance(value, str) and ":" in value:
        user, _, password = value.partition(":")
        return user, password
    raise ConfigurationError(
        "auth.basic cannot be read", where=where, fix="`basic: {user: NAME, password: ${PASSWORD}}`"
    )


def _secret(value: Any, kind: str, secrets: Mapping[str, str], where: str) -> str:
    text = str(value)
    if not any(secret and secret in text for secret in secrets.values()):
        raise ConfigurationError(
            f"the value of auth.{kind} stands in the file or is empty",
            where=where,
            fix="take it from the environment: `${TOKEN}`",
        )
    return text


def _forms(secrets: list[str]) -> list[str]:
    """Secrets in the forms in which they may stand in a text, longest first."""
    forms = {
        f for s in secrets if s.strip() for f in (s, quote(s), quote(s, safe=""), quote_plus(s))
    }
    return sorted(forms, key=len, reverse=True)


def _host(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
