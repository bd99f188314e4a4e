"""``python -m solera.cli``."""

from solera.cli import main

main()
