"""``PYTHONPATH=loadtest python -m load``."""

from load.commands import main

main()
