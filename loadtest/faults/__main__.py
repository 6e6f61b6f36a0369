"""``PYTHONPATH=loadtest python -m faults``."""

from faults.commands import main

main()
