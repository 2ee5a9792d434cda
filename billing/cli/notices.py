"""`billing notices`: list, preview, resend, send-test."""

from __future__ import annotations

from datetime import datetime, time
from typing import Annotated

import typer

from billing.cli.shared import (
    ConfigOption,
    JsonOption,
    SubscriptionOption,
    one_of,
    parse_date,
    print_json,
    print_json_array,
    read_config,
    store,
)
from billing.cli.table import columns_of, print_table

app = typer.Typer(help="Notices: list, preview and resend e-mails.", no_args_is_help=True)


@app.command("list")
def list_all(
    config: ConfigOption = None,
    state: Annotated[str | None, typer.Option(metavar="S", help="Only notices in this state.")] = None,
    subscription: SubscriptionOption = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only those queued on this day or later.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """All notices, oldest first."""
    from billing.app.documents import notices_listed
    from billing.core.states import NoticeState

    wanted = one_of(NoticeState, state, "state of a notice")
    day = parse_date(since) if since is not None else None
    with store(config) as (loaded, db):
        began = None if day is None else datetime.combine(day, time.min, loaded.zone)
        documents = notices_listed(db, wanted, reference=subscription, since=began)
        if json:
            print_json_array(documents)
            return
        columns = columns_of(
            id="number",
            kind="fixed",
            subscription="text",
            due_on="fixed",
            state="state",
            subject="text",
            reply="text",
        )
        told = ({**doc, "reply": doc["server_reply"]} for doc in documents)
        rows = ([str(doc[column.name] or "–") for column in columns] for doc in told)
        print_table(columns, rows, "no such notices")


@app.command()
def preview(
    notice_id: Annotated[int, typer.Argument(metavar="ID", help="The notice's id.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show a notice as it was sent, or as it would be sent now."""
    from billing.app.mailing import preview_notice
    from billing.app.runtime import utc_now

    with store(config) as (loaded, db):
        shown = preview_notice(loaded, db, notice_id, utc_now())
    mail = shown.mail
    if json:
        print_json(
            {
                "dedupe_key": mail.dedupe_key,
                "to": mail.recipient,
                "subject": mail.subject,
                "message_id": mail.message_id,
                "text": shown.text,
                "attachments": [
                    {"filename": file.filename, "type": file.content_type, "bytes": file.size}
                    for file in shown.attachments
                ],
            }
        )
        return
    print(f"To: {mail.recipient}\nSubject: {mail.subject}\nMessage-ID: {mail.message_id}")
    for file in shown.attachments:
        print(f"Attached: {file.filename} ({file.content_type}, {file.size:,} bytes)")
    print(f"\n{shown.text}")


@app.command()
def resend(
    notice_id: Annotated[int | None, typer.Argument(metavar="ID", help="The notice's id.")] = None,
    config: ConfigOption = None,
    every: Annotated[
        str | None,
        typer.Option(
            "--all", metavar="STATE", help="Every notice in state failed, or every one in state unknown."
        ),
    ] = None,
) -> None:
    """Queue a notice again; the next run sends it with the same Message-ID."""
    from billing.app import decisions
    from billing.app.runtime import utc_now
    from billing.core.plurals import counted, plural
    from billing.core.states import NoticeState

    if (notice_id is None) == (every is None):
        raise typer.BadParameter("give the ID of one notice, or --all failed, or --all unknown")
    if every is not None and every not in (NoticeState.FAILED, NoticeState.UNKNOWN):
        raise typer.BadParameter(f"--all takes failed or unknown, not {every!r}")
    with store(config) as (_, db):
        if notice_id is not None:
            decisions.resend_notice(db, notice_id, utc_now())
            print(f"notice {notice_id} is queued; the next run sends it")
        elif every is not None:
            count = decisions.resend_notices(db, NoticeState(every), utc_now())
            queued = f"{counted(count, 'notice')} {plural(count, 'is', 'are')} queued"
            print(f"{queued}; the next run sends {plural(count, 'it', 'them')}" if count else queued)


@app.command("send-test")
def send_test(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="The notice's kind, such as payment_created.")],
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="Who receives it.")],
    config: ConfigOption = None,
    locale: Annotated[str, typer.Option(help="en, de, fr, es or pt.")] = "en",
) -> None:
    """Send a sample of one kind through the configured transport; nothing is stored."""
    import asyncio

    from billing.app.mailing import send_sample
    from billing.app.runtime import utc_now
    from billing.core.states import NoticeKind

    if kind not in NoticeKind.__members__.values():
        raise typer.BadParameter(f"{kind!r} is not a kind of notice; use one of {', '.join(NoticeKind)}")
    delivery = asyncio.run(send_sample(read_config(config), NoticeKind(kind), to, locale, utc_now()))
    print(f"{delivery.kind} {delivery.server_reply}".rstrip())
    raise typer.Exit(0 if delivery.kind == "sent" else 1)
