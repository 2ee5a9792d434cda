"""The pages for people: the payer's checkout page and the list of what was created."""

from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from billing.sandbox.api import now
from billing.sandbox.errors import Refusal
from billing.sandbox.resources import RESOURCES
from billing.sandbox.store import Record, Store

ROWS_PER_PAGE = 200
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "Referrer-Policy": "no-referrer",
}


class Pages:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "html"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def handle(self, request: web.BaseRequest, path: str) -> web.Response:
        """Answer a page or a pressed Pay button; `path` has no leading slash. Raises Refusal (404, 405)."""
        match path.split("/"):
            case [""]:
                _require(request, "GET")
                return self._overview(request.rel_url.query.get("page", "1"))
            case ["checkout", resource, record_id]:
                _require(request, "GET")
                return self._checkout(resource, record_id)
            case ["checkout", resource, record_id, "pay"]:
                _require(request, "POST")
                return self._pay(resource, record_id)
        raise Refusal(404, "Not found")

    def _checkout(self, resource: str, record_id: str) -> web.Response:
        record = self._store.find(resource, record_id)
        if record is None:
            return self._page("missing.html", 404)
        return self._page("checkout.html", record=_for_people(record))

    def _pay(self, resource: str, record_id: str) -> web.Response:
        record = self._store.find(resource, record_id)
        if record is None:
            return self._page("missing.html", 404)
        self._store.mark(record, "paid", now())
        # A redirect, so that reloading the page does not press the button again.
        return web.Response(status=303, headers={**HEADERS, "Location": _checkout_path(record)})

    def _overview(self, given: str) -> web.Response:
        pages = max(1, -(-len(self._store) // ROWS_PER_PAGE))
        page = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 1
        page = min(max(page, 1), pages)
        records = self._store.newest((page - 1) * ROWS_PER_PAGE, ROWS_PER_PAGE)
        rows = [_for_people(record) for record in records]
        return self._page("overview.html", rows=rows, page=page, pages=pages, total=len(self._store))

    def _page(self, template: str, status: int = 200, **values: Any) -> web.Response:
        html = self._templates.get_template(template).render(values)
        # Names may carry lone surrogates, which JSON can write and UTF-8 cannot.
        body = html.encode(errors="replace")
        return web.Response(
            status=status, body=body, headers=HEADERS, content_type="text/html", charset="utf-8"
        )


def _for_people(record: Record) -> dict[str, Any]:
    """The record in the words of the pages; the templates escape them."""
    resource, fields = RESOURCES[record.resource], record.fields
    return {
        "noun": resource.noun,
        "title": fields.get(resource.title_field) or resource.noun,
        "payer": [fields[name] for name in resource.payer_fields if fields.get(name)],
        "business": record.business_name or record.business_id,
        "amount": fields["amount"],
        "due_on": fields[resource.due_field][:10] if resource.due_field else None,
        "interval_days": fields.get("recurringInterval"),
        "paid": record.status == "paid",
        "deleted": record.deleted_at is not None,
        "created_at": record.created_at.replace("T", " ")[:19],
        "id": record.id,
        "url": _checkout_path(record),
    }


def _checkout_path(record: Record) -> str:
    return f"/checkout/{record.resource}/{record.id}"


def _require(request: web.BaseRequest, method: str) -> None:
    if request.method != method:
        raise Refusal(405, "Method not allowed", {"Allow": method})
