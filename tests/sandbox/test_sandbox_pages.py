"""The pages for people: checkout with its Pay button, and the list of what was created."""

import re

import pytest

from tests.support.sandbox_calls import INVOICE, LINK, RECURRING, serving

ATTACK = "<script>alert('x')</script>\"><img src=//evil.example>"


@pytest.mark.parametrize("resource", [RECURRING, LINK, INVOICE])
def test_pressing_pay_turns_the_record_paid_and_the_page_says_so(resource: str) -> None:
    with serving() as api:
        record_id = api.created(resource)
        path = f"/checkout/{resource}/{record_id}"
        before = api.http.get(path)
        (action,) = re.findall(r'<form method="post" action="([^"]+)">', before.text)
        pressed = api.http.post(action, headers={"Content-Type": "application/x-www-form-urlencoded"})
        after = api.http.get(pressed.headers["location"])
        (kept,) = api.stored()
        data = api.get(record_id, resource).json()
    assert (before.status_code, pressed.status_code, pressed.headers["location"]) == (200, 303, path)
    assert "Gold" in before.text
    assert "12.50" in before.text
    assert ">Unpaid<" in before.text
    assert ">Paid<" in after.text
    assert "<form" not in after.text
    assert kept["status"] == "paid"
    assert kept["changedAt"] >= kept["createdAt"]
    if resource == RECURRING:
        assert data["recurringPaymentData"]["currentPaymentStatus"] == "paid"


def test_the_page_of_a_recurring_payment_says_when_it_is_due_and_for_whom() -> None:
    with serving() as api:
        page = api.http.get(f"/checkout/{RECURRING}/{api.created()}").text
    for text in ("2026-02-01", "30 days", "Jane Doe", "jane@example.com", "Acme"):
        assert text in page


def test_paying_twice_changes_nothing_more() -> None:
    with serving() as api:
        path = f"/checkout/{RECURRING}/{api.created()}/pay"
        api.http.post(path)
        first = api.stored()
        assert api.http.post(path).status_code == 303
        assert api.stored() == first


def test_a_page_needs_no_api_headers() -> None:
    with serving(api_keys=["secret"]) as api:
        api.http.headers["apikey"] = "secret"
        record_id = api.created()
        del api.http.headers["apikey"], api.http.headers["businessid"]
        assert api.http.get(f"/checkout/{RECURRING}/{record_id}").status_code == 200
        assert api.http.post(f"/checkout/{RECURRING}/{record_id}/pay").status_code == 303
        assert api.http.get("/").status_code == 200


def test_pages_escape_what_they_show_and_load_nothing_from_elsewhere() -> None:
    with serving() as api:
        payload = {"subscriptionName": ATTACK, "subscriberFullName": ATTACK, "subscriberEmail": "<b>@x"}
        record_id = api.created(**payload)
        pages = [api.http.get(f"/checkout/{RECURRING}/{record_id}"), api.http.get("/")]
    for page in pages:
        assert "<script" not in page.text
        assert "<img" not in page.text
        assert "&lt;script&gt;" in page.text
        assert not re.search(r'<[^>]*(src|href)\s*=\s*"?(https?:)?//', page.text)
        assert "default-src 'none'" in page.headers["content-security-policy"]


def test_a_name_that_is_no_text_is_shown_all_the_same() -> None:
    with serving() as api:
        headers = {"Content-Type": "application/json"}
        answer = api.http.post(
            f"/{LINK}/create", content=b'{"amount": "1", "title": "\\ud800"}', headers=headers
        )
        page = api.http.get(answer.json()["paymentLink"])
    assert answer.json()["paymentData"]["title"] == "\ud800"
    assert page.status_code == 200


@pytest.mark.parametrize("resource", [RECURRING, "nothing"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_there_is_nothing_to_pay_at_a_wrong_link(resource: str, method: str) -> None:
    with serving() as api:
        wrong_id = api.created(LINK)  # an id, but of another resource
        pay = "/pay" if method == "POST" else ""
        page = api.http.request(method, f"/checkout/{resource}/{wrong_id}{pay}")
        assert page.status_code == 404
        assert "nothing to pay" in page.text
        assert api.stored()[0]["status"] == "unpaid"


def test_a_deleted_record_cannot_be_paid() -> None:
    with serving() as api:
        record_id = api.created()
        api.delete(record_id)
        assert api.http.post(f"/checkout/{RECURRING}/{record_id}/pay").status_code == 404
        assert api.stored()[0]["status"] == "unpaid"


def test_the_overview_lists_the_newest_first_page_by_page_with_links() -> None:
    with serving() as api:
        empty = api.http.get("/").text
        ids = [api.created(LINK, title=f"Item {number}.") for number in range(205)]
        api.delete(ids[204], LINK)
        api.control("POST", f"pay/{ids[203]}")
        first, second = api.http.get("/").text, api.http.get("/?page=2").text
        beyond, nonsense = api.http.get("/?page=99").text, api.http.get("/?page=x").text
    assert "Nothing has been created yet" in empty
    linked = rf'href="/checkout/{LINK}/([^"]+)"'
    assert re.findall(linked, first) == ids[:4:-1]
    assert re.findall(linked, second) == ids[4::-1]
    assert (beyond, nonsense) == (second, first)
    assert [first.count(f">{word}<") for word in ("Deleted", "Paid", "Unpaid")] == [1, 1, 198]
