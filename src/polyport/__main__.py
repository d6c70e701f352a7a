"""`python -m polyport`."""

from polyport.cli import main

main()
