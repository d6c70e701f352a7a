"""Data products: declared in a folder, published as immutable snapshots, read through ports."""

__version__ = "0.1.0"
