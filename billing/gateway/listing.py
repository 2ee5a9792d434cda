"""A list's answer, parsed as it arrives: of a record nothing is kept but what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import ijson
from ijson.utils import sendable_list

from billing.gateway.faults import TooLarge

_DEEPEST = 32  # no record is nested like this, and what builds it must not be made to recurse
_STARTS = ("start_map", "start_array")
_NESTING = frozenset((*_STARTS, "end_map", "end_array"))


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
        self._top: Any = None
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
        """Every value of every record comes through here: what is not needed for most stands elsewhere."""
        top, key = self._top, self._key
        for kind, value in events:
            if kind == "map_key":
                key = value
            elif kind in _NESTING:
                top = self._nest(kind, key)
            elif top.__class__ is dict:
                top[key] = value
            elif top is not None:
                top.append(value)
            elif self._inside:
                self._hand_over(value)
            elif self._depth == 1 and key == "statusCode":
                self.status_code = value
        self._top, self._key = top, key

    def _nest(self, kind: str, key: str) -> Any:
        """One level deeper or less deep; returns what is being built there, None around the records."""
        if not self._inside:
            self._depth += 1 if kind in _STARTS else -1
            if kind == "start_array" and self._depth == 2 and key == self._array_key:
                self._broken |= self.has_array  # a second one: which would hold?
                self.has_array = self._inside = True
            return None
        stack = self._stack
        if kind in _STARTS:
            new: Any = {} if kind == "start_map" else []
            if stack and isinstance(stack[-1], dict):
                stack[-1][key] = new
            elif stack:
                stack[-1].append(new)
            stack.append(new)
            if len(stack) > _DEEPEST:
                raise TooLarge
            return new
        if not stack:
            self._inside = False
            self._depth -= 1
            return None
        built = stack.pop()
        if stack:
            return stack[-1]
        self._hand_over(built)
        return None

    def _hand_over(self, element: Any) -> None:
        self.count += 1
        if self.count > self._most:
            raise TooLarge
        self._take(element)
