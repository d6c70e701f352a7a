"""Rows as bytes: one file a format, shared by the ports that write files."""
