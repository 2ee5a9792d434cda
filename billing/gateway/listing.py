"""A list's answer, parsed as it arrives: of a record nothing is kept but what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import ijson
from ijson.utils import sendable_list

from billing.gateway.faults import TooLarge

_DEEPEST = 32  # no record is nested like this, and what builds it must not be made to recurse
_STARTS, _ENDS = ("start_map", "start_array"), ("end_map", "end_array")


class Malformed(Exception):
    """It is no JSON document, is cut off, or is nested beyond belief."""


class Listing:
    """Takes the bytes of one answer; `take` gets each element of the array `key` of the object, in order.

    At most `most` elements are taken: more raise `TooLarge`, as a body of nothing but braces would keep the
    loop busy for long. Nothing may be believed before `finish`.
    """

    def __init__(self, key: str, take: Callable[[Any], None], most: int) -> None:
        self._array_key, self._take, self._most = key, take, most
        self._events = sendable_list()
        # Events and no paths: ijson's own `items` needs memory by the square of how deep a document is.
        self._parser = ijson.basic_parse_coro(self._events, use_float=True)
        self._depth, self._key = 0, ""
        self._inside = False
        self._stack: list[Any] = []
        self._keys: list[str] = []
        self._broken = False
        self.count = 0
        self.has_array = False
        self.status_code: object = None
        """The `statusCode` that stands beside the array, if one does."""

    def feed(self, part: bytes) -> None:
        """Raises `TooLarge`. What is no JSON is told by `finish`."""
        if not self._broken:
            self._parse(lambda: self._parser.send(part))

    def finish(self) -> None:
        """The answer is complete. Raises `Malformed`."""
        if not self._broken:
            self._parse(self._parser.close)
        if self._broken:
            raise Malformed

    def _parse(self, step: Callable[[], object]) -> None:
        try:
            step()
        except (ijson.JSONError, ValueError):
            self._broken = True
        self._follow(self._events)
        self._events.clear()

    def _follow(self, events: Iterable[tuple[str, Any]]) -> None:
        for kind, value in events:
            if self._inside:
                self._build(kind, value)
            elif kind in _STARTS:
                self._depth += 1
                if kind == "start_array" and self._depth == 2 and self._key == self._array_key:
                    self._broken |= self.has_array  # a second one: which would hold?
                    self.has_array = self._inside = True
            elif kind in _ENDS:
                self._depth -= 1
            elif self._depth == 1:
                if kind == "map_key":
                    self._key = value
                elif self._key == "statusCode":
                    self.status_code = value

    def _build(self, kind: str, value: Any) -> None:
        """One event within the array."""
        stack = self._stack
        if kind == "map_key":
            self._keys[-1] = value
            return
        if kind in _STARTS:
            stack.append({} if kind == "start_map" else [])
            self._keys.append("")
            if len(stack) > _DEEPEST:
                raise TooLarge
            return
        if kind in _ENDS:
            if not stack:
                self._inside = False
                self._depth -= 1
                return
            value = stack.pop()
            self._keys.pop()
        if not stack:
            self.count += 1
            if self.count > self._most:
                raise TooLarge
            self._take(value)
        elif isinstance(stack[-1], dict):
            stack[-1][self._keys[-1]] = value
        else:
            stack[-1].append(value)
