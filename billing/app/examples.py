"""A dozen example subscriptions, dated around today, for the first look at the sandbox."""

from __future__ import annotations

from datetime import date, timedelta

from billing.app.csv_rows import SubscriptionRow
from billing.core.money import parse_amount
from billing.core.periods import parse_interval

# reference, plan, name, amount, interval, first due in days, billed from in days, ends in days, locale
_EXAMPLES: tuple[tuple[str, str, str, str, str, int, int | None, int | None, str], ...] = (
    ("acme-team", "Team plan", "Ada Lovelace", "49.00", "1 month", 0, None, None, "en"),
    ("byte-year", "Yearly plan", "Grace Hopper", "490.00", "1 year", 0, None, None, "en"),
    ("cafe-30", "Café-Paket", "Jürgen Müller", "19.90", "30 days", -60, 0, None, "de"),
    ("dojo-week", "Weekly class", "Akira Tanaka", "12.50", "1 week", -14, -7, None, "en"),
    ("etoile-2w", "Formule Étoile", "Chloé Dubois", "7.25", "2 weeks", -28, 0, None, "fr"),
    ("faro-quarter", "Plan Faro", "Lucía Fernández", "89.00", "3 months", -1, None, None, "es"),
    ("gato-month", "Plano Gato", "João Oliveira", "15.00", "1 month", 1, None, None, "pt"),
    ("hive-month", "Hive Pro", "Noor Haddad نور حداد", "29.00", "1 month", 3, None, None, "en"),
    ("iris-month", "Iris Studio", "Iris van den Berg", "35.50", "1 month", 7, None, None, "en"),
    ("jazz-year", "Jazz Club", "Miles Carter", "120.00", "1 year", 30, None, None, "en"),
    ("kite-month", "Kite Basic", "Wei Chen", "9.00", "1 month", 14, None, None, "en"),
    ("loft-once", "Short lease", "Olu Adeyemi", "250.000001", "1 month", 0, None, 5, "en"),
)


def example_rows(today: date) -> list[SubscriptionRow]:
    """Some are due today, one is a day late, one has a period to catch up, the rest come up soon."""
    rows = []
    for line, example in enumerate(_EXAMPLES, start=1):
        reference, plan, name, amount, interval, first, billed, ends, locale = example
        rows.append(
            SubscriptionRow(
                line=line,
                reference=reference,
                plan=plan,
                name=name,
                email=f"{reference}@example.com",
                amount=parse_amount(amount),
                interval=parse_interval(interval),
                starts_on=today + timedelta(days=first),
                bill_from=None if billed is None else today + timedelta(days=billed),
                ends_on=None if ends is None else today + timedelta(days=ends),
                locale=locale,
            )
        )
    return rows
