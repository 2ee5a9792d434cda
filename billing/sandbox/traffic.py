"""What the sandbox saw: counters by call and status and, when asked to, the requests themselves."""

from collections import Counter, deque
from typing import Any

from aiohttp import web

KEPT_REQUESTS = 10_000
KEPT_BODY_CHARS = 16_384


class Traffic:
    def __init__(self) -> None:
        self.recording = False
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._requests: deque[dict[str, Any]] = deque(maxlen=KEPT_REQUESTS)

    def count(self, resource: str, call: str, outcome: str) -> None:
        """`outcome` is the HTTP status, or `cut` where there was none."""
        self._counts[resource, call, outcome] += 1

    def record(self, request: web.BaseRequest, body: bytes, at: str) -> None:
        self._requests.append(
            {
                "at": at,
                "method": request.method,
                "path": request.raw_path,
                "headers": [_header(name, value) for name, value in request.raw_headers],
                "body": body.decode(errors="replace")[:KEPT_BODY_CHARS],
            }
        )

    def report(self) -> dict[str, Any]:
        counts: dict[str, dict[str, dict[str, int]]] = {}
        for (resource, call, outcome), number in sorted(self._counts.items()):
            counts.setdefault(resource, {}).setdefault(call, {})[outcome] = number
        return {"counts": counts, "recording": self.recording, "requests": list(self._requests)}

    def clear(self) -> None:
        self._counts.clear()
        self._requests.clear()


def _header(name: bytes, value: bytes) -> list[str]:
    masked = b"***" if name.lower() == b"apikey" else value
    return [name.decode("latin-1"), masked.decode("latin-1")]
