"""SCRAM-SHA-256 as a server does it (RFC 5802, 7677), and bound to the TLS certificate (PLUS, RFC 5929)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from polyport.access import scram as kept
from polyport.ports.output.sql.messages import Body, ProtocolError, message, text

if TYPE_CHECKING:
    from pathlib import Path

    from polyport.access.scram import Scram, Verifier
    from polyport.ports.output.sql.transport import Transport

PLAIN: Final = "SCRAM-SHA-256"
PLUS: Final = "SCRAM-SHA-256-PLUS"
_BINDING: Final = "tls-server-end-point"
_FIRST: Final = re.compile(
    r"(n|y|p=([A-Za-z0-9.-]+)),(a=[^,]*)?,((?:n=[^,]*),r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?)",
    re.DOTALL,
)
_FINAL: Final = re.compile(
    r"(c=([A-Za-z0-9+/=]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?),p=([A-Za-z0-9+/=]+)", re.DOTALL
)
_HASHES: Final = {
    bytes.fromhex("2a864886f70d01010b"): "sha256",  # sha256WithRSAEncryption
    bytes.fromhex("2a864886f70d01010c"): "sha384",
    bytes.fromhex("2a864886f70d01010d"): "sha512",
    bytes.fromhex("2a864886f70d010105"): "sha256",  # of SHA-1, RFC 5929 makes SHA-256
    bytes.fromhex("2a8648ce3d040302"): "sha256",  # ecdsa-with-SHA256
    bytes.fromhex("2a8648ce3d040303"): "sha384",
    bytes.fromhex("2a8648ce3d040304"): "sha512",
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """How far a client has come."""

    binding: str
    """The GS2 header, and what the channel is bound to, base64."""
    first: str
    """The client's first message without the GS2 header."""
    answered: str
    """The server's first message."""
    nonce: str


def prove(
    transport: Transport, user: str, scram: Scram | None, bound: bytes | None
) -> Verifier | None:
    """Let the client prove that it knows one of the secrets; the one that it knows, or None.

    A user without secrets is asked in the same way. `bound`: what the TLS channel is bound to; None: nothing.

    Raises:
        ProtocolError: What the client says is no SCRAM.
    """
    offered = [PLUS, PLAIN] if bound else [PLAIN]
    said = b"".join(map(text, offered)) + b"\0"
    transport.send(message(b"R", (10).to_bytes(4, "big") + said))
    exchange = _begun(*_initial(transport, offered), user, scram, bound)
    answer = exchange.answered.encode()
    transport.send(message(b"R", (11).to_bytes(4, "big") + answer))
    final = _response(transport).rest().decode("ascii", "replace")
    found, signature = _checked(exchange, final, scram)
    if found is not None:
        transport.send(message(b"R", (12).to_bytes(4, "big") + b"v=" + base64.b64encode(signature)))
    return found


def _response(transport: Transport) -> Body:
    kind, body = transport.message()
    if kind != b"p":
        raise ProtocolError("expected SASL response")
    return Body(body)


def _initial(transport: Transport, offered: list[str]) -> tuple[str, str]:
    body = _response(transport)
    mechanism = body.text()
    if mechanism not in offered:
        raise ProtocolError("client selected an invalid SASL authentication mechanism")
    first = body.take(body.int32()).decode("utf-8", "replace")
    body.end()
    return mechanism, first


def _begun(
    mechanism: str, first: str, user: str, scram: Scram | None, bound: bytes | None
) -> Exchange:
    found = _FIRST.fullmatch(first)
    if not found or found[3]:
        raise ProtocolError("malformed SCRAM message")
    flag = found[1]
    if flag.startswith("p=") != (mechanism == PLUS) or (found[2] or _BINDING) != _BINDING:
        raise ProtocolError("malformed SCRAM message: channel binding")
    if flag == "y" and bound:
        raise ProtocolError("SCRAM channel binding negotiation error", state="28000")
    data = bound if flag.startswith("p=") and bound else b""
    nonce = found[5] + secrets.token_urlsafe(18)
    salt = scram.salt if scram else kept.salt(user)
    iterations = scram.iterations if scram else kept.ITERATIONS
    answer = f"r={nonce},s={base64.b64encode(salt).decode()},i={iterations}"
    header = f"{flag},,".encode() + data
    return Exchange(base64.b64encode(header).decode(), found[4], answer, nonce)


def _checked(exchange: Exchange, final: str, scram: Scram | None) -> tuple[Verifier | None, bytes]:
    """The secret that the proof fits, and the server's signature."""
    found = _FINAL.fullmatch(final)
    if not found or found[3] != exchange.nonce:
        raise ProtocolError("malformed SCRAM message")
    if found[2] != exchange.binding:
        raise ProtocolError("SCRAM channel binding check failed", state="28000")
    try:
        proof = base64.b64decode(found[4], validate=True)
    except binascii.Error:
        raise ProtocolError("malformed SCRAM message") from None
    signed = f"{exchange.first},{exchange.answered},{found[1]}".encode()
    for verifier in scram.verifiers if scram else ():
        signature = hmac.digest(verifier.stored, signed, "sha256")
        if len(proof) != len(signature):
            continue
        key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        if hmac.compare_digest(hashlib.sha256(key).digest(), verifier.stored):
            return verifier, hmac.digest(verifier.server, signed, "sha256")
    return None, b""


def binding(certificate: Path) -> bytes | None:
    """What TLS with the first certificate of this PEM file is bound to (`tls-server-end-point`, RFC 5929).

    None, where its signature's hash is none of those that are known: then there is no binding.
    """
    shown = certificate.read_text(encoding="ascii", errors="replace")
    end = "-----END CERTIFICATE-----"
    start = shown.find("-----BEGIN CERTIFICATE-----")
    der = ssl.PEM_cert_to_DER_cert(shown[start : shown.index(end, start) + len(end)])
    named = _HASHES.get(_signature_algorithm(der))
    return hashlib.new(named, der).digest() if named else None


def _signature_algorithm(der: bytes) -> bytes:
    """The OID of `Certificate.signatureAlgorithm` (RFC 5280, 4.1): the second part of the whole."""
    whole, _ = _part(der, 0)
    _, after = _part(whole, 0)
    algorithm, _ = _part(whole, after)
    return _part(algorithm, 0)[0]


def _part(der: bytes, at: int) -> tuple[bytes, int]:
    """The content of the DER value at `at`, and where the next begins."""
    size, at = der[at + 1], at + 2
    if size & 0x80:
        count = size & 0x7F
        size, at = int.from_bytes(der[at : at + count], "big"), at + count
    return der[at : at + size], at + size
