"""The blocks of an Avro object container file (Avro 1.11, "Object Container Files"), unpacked and not decoded."""

from __future__ import annotations

import zlib
from typing import IO, TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYNC = 16
_CRC = 4


def blocks(source: IO[bytes]) -> Iterator[bytes]:
    """The header's metadata, then the bytes of each block.

    Raises:
        ValueError: The file is cut off, or its codec is not known.
    """
    source.read(4)
    metadata = _map(source)
    yield b"\0".join((*metadata.keys(), *metadata.values()))
    codec = metadata.get(b"avro.codec", b"null").decode("ascii", "replace")
    source.read(_SYNC)
    while start := source.read(1):
        _long(source, start)
        yield _unpacked(_exactly(source, _long(source)), codec)
        _exactly(source, _SYNC)


def _unpacked(data: bytes, codec: str) -> bytes:
    match codec:
        case "null":
            return data
        case "deflate":
            return zlib.decompress(data, -zlib.MAX_WBITS)
        case "zstandard":
            with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
                return bytes(stream.read())
        case "snappy":
            size, shift = 0, 0
            for byte in data:  # a varint says how long it is when unpacked
                size |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint
                    break
            return bytes(pa.Codec("snappy").decompress(data[:-_CRC], size))
    raise ValueError(f"an Avro file with the codec {codec!r}")


def _map(source: IO[bytes]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    while count := _long(source):
        if count < 0:
            _long(source)  # the block's size in bytes
        for _ in range(abs(count)):
            name = _exactly(source, _long(source))
            found[name] = _exactly(source, _long(source))
    return found


def _long(source: IO[bytes], start: bytes = b"") -> int:
    number, shift = 0, 0
    byte = start or _exactly(source, 1)
    while True:
        number |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:  # noqa: PLR2004 - the last byte of a varint
            return (number >> 1) ^ -(number & 1)
        byte, shift = _exactly(source, 1), shift + 7


def _exactly(source: IO[bytes], size: int) -> bytes:
    data = source.read(size) if size >= 0 else b""
    if size < 0 or len(data) != size:
        raise ValueError("an Avro file that is cut off")
    return data
