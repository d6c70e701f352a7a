"""`python -m benchmarks [NAME ...]`: run the workloads and print ratios."""

from __future__ import annotations

import importlib
import sys

ALL = ("command", "build", "rest", "access", "mesh", "flight", "sql_wire")

for name in sys.argv[1:] or ALL:
    importlib.import_module(f"benchmarks.{name}").main()
