"""`python -m billing` is the command `billing`."""

from billing.cli.main import main

main()
