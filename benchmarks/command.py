"""How long `polyport -h` takes, beside an empty Python process."""

from __future__ import annotations

import statistics
import sys

from benchmarks.measure import run


def main() -> None:
    """Print medians of 15 runs."""
    ours = statistics.median(
        run([sys.executable, "-m", "polyport", "-h"]).seconds for _ in range(15)
    )
    empty = statistics.median(run([sys.executable, "-c", "pass"]).seconds for _ in range(15))
    print(
        f"polyport -h: {ours * 1000:.0f} ms ({ours / empty:.1f}x an empty Python process, {empty * 1000:.0f} ms)"
    )


if __name__ == "__main__":
    main()
