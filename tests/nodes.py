"""A node of its own in a test: products served over HTTP, by a thread, at an address of this machine."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from polyport.server import create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from polyport.product import Product


@contextmanager
def served(product: Product) -> Iterator[tuple[str, Callable[[], None]]]:
    """The node's address, and what ends it before the block does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(
        create_app([product]), host="127.0.0.1", port=port, log_level="critical", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)

    def end() -> None:
        server.should_exit = True
        thread.join()

    try:
        yield f"http://127.0.0.1:{port}", end
    finally:
        end()
