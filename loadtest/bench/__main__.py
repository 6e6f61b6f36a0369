"""The benchmark's command line: ``PYTHONPATH=loadtest python -m bench``."""

from __future__ import annotations

import os
import sys

from bench.commands import main

if __name__ == "__main__":
    # The load generators are modules of this package, started by name from wherever.
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))
    sys.exit(main())
