"""``python -m tritonsmith_build``: the command line, for where no script is installed."""

from tritonsmith_build.cli import main

main()
