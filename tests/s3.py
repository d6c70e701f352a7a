"""An S3 of the tests' own, on 127.0.0.1: lists and reads, for whoever signs with its key (Signature Version 4)."""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d+/[^/]+/s3/aws4_request), ?SignedHeaders=([^,]+), ?Signature=(\w+)"
)


class Bucket:
    """The objects of the bucket `films`; `page` of them are listed at a time."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.page = 1000
        self.asked: list[str] = []
        self.between: Callable[[str], None] = lambda _: None
        """Called before each answer with `GET key`, `HEAD key` or `LIST prefix`."""
        self.url = ""


def _signature(handler: BaseHTTPRequestHandler, scope: str, signed: str) -> str:
    """What the request must be signed with, as the specification of Signature Version 4 computes it."""
    parts = urlsplit(handler.path)
    pairs = sorted(
        (quote(k, safe="-_.~"), quote(v, safe="-_.~"))
        for k, v in parse_qsl(parts.query, keep_blank_values=True)
    )
    headers = [f"{n}:{' '.join((handler.headers[n] or '').split())}\n" for n in signed.split(";")]
    payload = handler.headers["x-amz-content-sha256"]
    query = "&".join(f"{k}={v}" for k, v in pairs)
    request = "\n".join([handler.command, parts.path, query, "".join(headers), signed, payload])
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", handler.headers["x-amz-date"], scope, digest])
    key = ("AWS4" + SECRET).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def _handler(bucket: Bucket) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            name, _, key = unquote(parts.path).lstrip("/").partition("/")
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            what = f"LIST {query.get('prefix', '')}" if not key else f"{self.command} {key}"
            bucket.between(what)
            bucket.asked.append(what)
            if refused := self.refused():
                self.fails(403, refused)
            elif name != "films":
                self.fails(404, "NoSuchBucket")
            elif not key:
                self.listed(query)
            elif key not in bucket.objects:
                self.fails(404, "NoSuchKey")
            else:
                self.given(bucket.objects[key])

        do_HEAD = do_GET  # noqa: N815

        def refused(self) -> str:
            found = _SIGNED.fullmatch(self.headers["Authorization"] or "")
            if found is None:
                return "AccessDenied"
            key, scope, signed, signature = found.groups()
            if key != KEY:
                return "InvalidAccessKeyId"
            return "" if signature == _signature(self, scope, signed) else "SignatureDoesNotMatch"

        def listed(self, query: dict[str, str]) -> None:
            prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
            after = query.get("continuation-token", "")
            keys = [k for k in sorted(bucket.objects) if k.startswith(prefix) and k > after]
            shown, more = keys[: bucket.page], keys[bucket.page :]
            below = {
                prefix + k[len(prefix) :].split(delimiter)[0] + delimiter
                for k in shown
                if delimiter and delimiter in k[len(prefix) :]
            }
            text = "".join(
                f"<Contents><Key>{escape(k)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                f"<ETag>&quot;{_etag(bucket.objects[k])}&quot;</ETag><Size>{len(bucket.objects[k])}</Size>"
                "<StorageClass>STANDARD</StorageClass></Contents>"
                for k in shown
                if not any(k.startswith(folder) for folder in below)
            )
            text += "".join(
                f"<CommonPrefixes><Prefix>{escape(p)}</Prefix></CommonPrefixes>"
                for p in sorted(below)
            )
            text += (
                f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>"
                if more
                else ""
            )
            self.answers(
                200,
                f"<ListBucketResult><Name>films</Name><KeyCount>{len(shown)}</KeyCount>"
                f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>{text}</ListBucketResult>".encode(),
                {"Content-Type": "application/xml"},
            )

        def given(self, content: bytes) -> None:
            etag = f'"{_etag(content)}"'
            if self.headers["If-Match"] not in (None, etag):
                self.fails(412, "PreconditionFailed")
                return
            headers = {"ETag": etag, "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
            if found is None:
                self.answers(200, content, headers)
                return
            first, last = int(found[1]), min(int(found[2] or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            self.answers(206, content[first : last + 1], headers)

        def fails(self, status: int, code: str) -> None:
            text = f"<Error><Code>{code}</Code><Message>{code} said the server.</Message></Error>"
            self.answers(status, text.encode(), {"Content-Type": "application/xml"})

        def answers(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _etag(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@contextmanager
def s3() -> Iterator[Bucket]:
    """A running server, and what it holds."""
    bucket = Bucket()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(bucket))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    bucket.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield bucket
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
