"""What a test makes of the process that workers are forked from: they run Python too, and walls can be left out.

`main(left_out)` stands in the place of the server's own: nothing of it is in the server.
"""

from __future__ import annotations

import errno
import traceback

from polyport.engine.walled import confined, worker, zygote

LOADED = ("ctypes", "fcntl", "os", "resource", "socket", "threading", "time")
"""What the code of a test may import: a worker can read no module."""


def serve(self, asked, served=worker._Worker.serve):
    if asked["what"] != "python":
        served(self, asked)
        return
    names = {
        "scratch": self.told["scratch"],
        "con": self.con,
        "wide": self.wide,
        **asked["names"],
    }
    try:
        exec(asked["code"], names)
        said = {"result": names.get("result")}
    except OSError as error:
        said = {"refused": errno.errorcode.get(error.errno, str(error))}
    except Exception:  # noqa: BLE001 - whatever a test says
        said = {"failed": traceback.format_exc()}
    self.channel.answer(said)


def main(left_out):
    for name in LOADED:
        __import__(name)
    for name in left_out:
        setattr(confined, name, lambda *_: None)
    worker._Worker.serve = serve
    zygote.main()
