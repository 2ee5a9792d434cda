"""What befalls each notice in the acceptance test: decided by its address and a seed alone."""

from __future__ import annotations

import random
from enum import StrEnum


class Fate(StrEnum):
    """The server does the first four, the proxy in front of it the rest. Cuts and 4xx happen once each."""

    GREYLISTED = "451 at RCPT"
    BUSY = "451 after the dot"
    NO_SUCH_USER = "550 at RCPT"
    UNWANTED = "554 after the dot"
    CUT_AT_RCPT = "cut at RCPT"
    CUT_AT_DATA = "cut at DATA"
    CUT_IN_BODY = "cut in the body"
    CUT_BEFORE_DOT = "cut before the dot reached the server"
    CUT_AFTER_DOT = "cut after the server had taken it"
    CUT_AFTER_REPLY = "cut after the reply to the dot"
    NONE = "nothing"


_SHARES = {
    Fate.GREYLISTED: 0.30,
    Fate.BUSY: 0.03,
    Fate.NO_SUCH_USER: 0.02,
    Fate.UNWANTED: 0.01,
    Fate.CUT_AT_RCPT: 0.004,
    Fate.CUT_AT_DATA: 0.004,
    Fate.CUT_IN_BODY: 0.004,
    Fate.CUT_BEFORE_DOT: 0.004,
    Fate.CUT_AFTER_DOT: 0.004,
    Fate.CUT_AFTER_REPLY: 0.004,
}
REFUSED = {Fate.NO_SUCH_USER, Fate.UNWANTED}
DOUBTFUL = {Fate.CUT_IN_BODY, Fate.CUT_BEFORE_DOT, Fate.CUT_AFTER_DOT}
"""After these the program can't know whether the server has it."""


def fate_of(address: str, seed: int) -> Fate:
    drawn = random.Random(f"{seed}/{address}").random()
    for fate, share in _SHARES.items():
        drawn -= share
        if drawn < 0:
            return fate
    return Fate.NONE


class Judge:
    """A mail server's mind: what it answers to a recipient and to a whole message; '' is a yes.

    `seen` are addresses that it has put off before; what it puts off from now on is added.
    """

    def __init__(self, seed: int, seen: set[str]) -> None:
        self._seed = seed
        self.seen = seen

    def on_recipient(self, address: str) -> str:
        fate = fate_of(address, self._seed)
        if fate is Fate.NO_SUCH_USER:
            return f"550 5.1.1 <{address}>: no such user"
        return self._first_time("451 4.7.1 Greylisted", fate is Fate.GREYLISTED, address)

    def on_message(self, address: str) -> str:
        fate = fate_of(address, self._seed)
        if fate is Fate.UNWANTED:
            return "554 5.7.1 We don't want this"
        return self._first_time("451 4.3.0 Busy, try later", fate is Fate.BUSY, address)

    def _first_time(self, answer: str, puts_off: bool, address: str) -> str:
        if not puts_off or address in self.seen:
            return ""
        self.seen.add(address)
        return answer
