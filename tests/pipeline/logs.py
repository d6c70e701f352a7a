"""Logs, read back as whoever has them would."""

import json


def events(path):
    """Each whole line of a log."""
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
