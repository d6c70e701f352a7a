"""Consumers' own SQL, behind three walls.

A process of its own, with limits; in it a locked engine that sees only what may be seen; and a check of what is said. A
statement that runs wild costs its own process, and nobody else anything.
"""
