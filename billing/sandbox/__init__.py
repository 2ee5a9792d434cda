"""A simulation of the Mileston API for tests, trials and benchmarks, with faults on demand.

An independent witness: it imports nothing from the rest of the program. Importing this package is
cheap (no aiohttp); the server itself is `billing.sandbox.server.SandboxServer`, and
`python -m billing.sandbox` runs it as a process of its own.
"""

from billing.sandbox.lock import running_url

__all__ = ["running_url"]
