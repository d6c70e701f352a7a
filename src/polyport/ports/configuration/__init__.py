"""Configuration ports: who may read what, under which agreement, and how the product runs."""
