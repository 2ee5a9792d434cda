"""The `/_sandbox/` paths: order faults, read the records, pay for a payer. No API headers needed."""

import json
from collections.abc import Callable
from datetime import date
from typing import Any

from aiohttp import web

from billing.sandbox.api import Api, now
from billing.sandbox.errors import FaultError, Refusal
from billing.sandbox.faults import parse_script, parse_settings
from billing.sandbox.misbehave import Answer, json_response

Document = dict[str, Any]


class Control:
    """`reset` returns the whole sandbox to how it was started, without records."""

    def __init__(self, api: Api, reset: Callable[[], None]) -> None:
        self._api = api
        self._reset = reset
        self._acts: dict[str, dict[str, Callable[[Document], Document]]] = {
            "faults": {"GET": self._show_faults, "PUT": self._set_faults},
            "script": {"GET": self._show_script, "POST": self._set_script},
            "keys": {"PUT": self._set_keys},
            "renewals": {"PUT": self._set_renewals},
            "records": {"GET": self._show_records},
            "requests": {"GET": lambda _: self._api.traffic.report()},
            "recording": {"PUT": self._set_recording},
            "reset": {"POST": self._do_reset},
        }

    def handle(self, method: str, rest: str, body: bytes) -> web.Response:
        """`rest` is the path after `/_sandbox/`. Raises Refusal (400, 404, 405)."""
        name, _, record_id = rest.partition("/")
        if name in ("pay", "unpay"):
            acts = {"POST": lambda _: self._mark(record_id, "paid" if name == "pay" else "unpaid")}
        elif rest in self._acts:
            acts = self._acts[rest]
        else:
            raise Refusal(
                404, f"The sandbox has {', '.join(self._acts)}, pay/ID and unpay/ID below /_sandbox/"
            )
        if method not in acts:
            raise Refusal(405, "Method not allowed", {"Allow": ", ".join(acts)})
        return json_response(Answer(200, acts[method](_parsed(body))))

    def _show_faults(self, _: Document) -> Document:
        return self._api.dice.settings.as_mapping()

    def _set_faults(self, order: Document) -> Document:
        try:
            self._api.dice.settings = parse_settings(order)
        except FaultError as error:
            raise Refusal(400, str(error)) from None
        return self._show_faults({})

    def _show_script(self, _: Document) -> Document:
        return {"left": len(self._api.dice.script)}

    def _set_script(self, order: Document) -> Document:
        entries = order.get("script")
        if not isinstance(entries, list):
            raise Refusal(400, 'Expected {"script": ["ok", "500", …]}')
        try:
            script = parse_script(entries)
        except FaultError as error:
            raise Refusal(400, str(error)) from None
        self._api.dice.script.clear()
        self._api.dice.script.extend(script)
        return self._show_script({})

    def _set_keys(self, order: Document) -> Document:
        keys = order.get("keys", ())
        if keys is not None and not (
            isinstance(keys, list) and keys and all(isinstance(key, str) for key in keys)
        ):
            raise Refusal(400, 'Expected {"keys": ["…", …]}, or {"keys": null} to accept every key')
        self._api.keys = None if keys is None else frozenset(keys)
        return {"keys": keys if keys is None else len(keys)}

    def _set_renewals(self, order: Document) -> Document:
        """How records renew themselves, and by which date: {"renews": "paid", "today": "2026-02-01"}."""
        renewals = self._api.renewals
        try:
            renewals.set(str(order.get("renews", "")))
            today = order.get("today")
            renewals.today = None if today is None else date.fromisoformat(str(today))
        except (FaultError, ValueError) as error:
            raise Refusal(400, str(error)) from None
        renewals.come_due()
        return {"renews": renewals.order, "today": today}

    def _show_records(self, _: Document) -> Document:
        return {"records": [record.history() for record in self._api.store.everything()]}

    def _set_recording(self, order: Document) -> Document:
        on = order.get("on")
        if not isinstance(on, bool):
            raise Refusal(400, 'Expected {"on": true} or {"on": false}')
        self._api.traffic.recording = on
        return {"on": on}

    def _mark(self, record_id: str, status: str) -> Document:
        record = self._api.store.find_anywhere(record_id)
        if record is None:
            raise Refusal(404, f"No record {record_id}")
        return self._api.store.mark(record, status, now()).history()

    def _do_reset(self, _: Document) -> Document:
        self._reset()
        return {}


def _parsed(body: bytes) -> Document:
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Refusal(400, "Invalid JSON in the request body") from None
    if not isinstance(document, dict):
        raise Refusal(400, "The request body must be a JSON object")
    return document
