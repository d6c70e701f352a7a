"""Consumers' own SQL, behind three walls: a process of its own, a locked engine with only what may be seen, and a check
of what is said. A statement that runs wild costs its own process, and nobody else anything."""
