"""A deterministic world in one thread that drives the real cycle through faults, crashes and months.

`python -m tests.campaigns.simulation --seeds 1000` runs worlds; `--seed N` shows one; README.md beside this
file tells what is real, what is modelled, and what is checked.
"""
