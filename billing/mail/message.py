"""The bytes of one message: headers, MIME parts, and nothing that a field's content could break.

`EmailMessage` would do, but takes about 800 µs a message, more than everything else together; what is
written here is checked against it in the tests. The HTML part is pure ASCII (characters beyond it
become references such as `&#252;`), so that it travels unencoded, small and readable.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from binascii import b2a_qp
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

from billing.config.logo import Logo
from billing.config.schema import Settings
from billing.core.addresses import on_the_wire
from billing.core.notices import NoticeFacts, RenderedMail
from billing.errors import TemplateError

_LONGEST_LINE = 998  # RFC 5322; a longer one may be cut by any server on the way
_FOLD_AT = 76  # RFC 2047 allows no more in a line that holds an encoded word; RFC 5322 asks for 78
_LONGEST_NAME = 120

_PLAIN_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/^_`{|}~ -]+")

# What can't stand in one line of text: control characters, line and paragraph separators, and halves
# of surrogate pairs. Marks that turn the direction of writing go as well: an open one in a name would
# turn the sentence around it.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_TOO_LONG = re.compile(rf"\n[^\n]{{{_LONGEST_LINE + 1}}}")
_ASCII = bytes(range(128))


@dataclass(frozen=True, slots=True)
class CalendarPart:
    """An iCalendar file to attach; `method` is PUBLISH or CANCEL."""

    method: str
    text: str


@dataclass(frozen=True, slots=True)
class PdfPart:
    """A PDF to attach; the name is plain ASCII without blanks."""

    filename: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says, in Unicode, before it becomes bytes."""

    language: str
    subject: str
    text: str
    html: str
    calendar: CalendarPart | None = None
    pdf: PdfPart | None = None


def one_line(value: str) -> str:
    """A field as one line of plain text: nothing in it can end a header or turn the text around it."""
    return _safe(value if value.isprintable() else _TURNING.sub("", value))


def _safe(value: str) -> str:
    if not value.isprintable():  # printable text holds no control character, separator or mark
        value = _UNSAFE.sub(" ", value)
    if "  " in value:
        value = re.sub(" {2,}", " ", value)
    return value.strip()


def wire_address(address: str, whose: str) -> str:
    """An address as SMTP takes it: ASCII, an international domain in punycode.

    Raises `TemplateError` that names `whose` address it is, not the address: errors end in logs.
    """
    try:
        return on_the_wire(address)
    except ValueError as error:
        raise TemplateError(f"no e-mail can be sent to the address of {whose}; correct it: {error}") from None


class MessageBuilder:
    """Builds messages of one business. Raises `TemplateError` if its own addresses are unusable."""

    def __init__(self, settings: Settings, logo: Logo | None = None) -> None:
        self.sender = wire_address(settings.mail.from_address, "mail.from_address")
        self.domain = self.sender.rpartition("@")[2].lower()
        self.logo_id = f"{hashlib.sha256(logo.data).hexdigest()[:16]}@{self.domain}" if logo else ""
        self._logo = _image_part(logo, self.logo_id) if logo else b""
        self._from = _address_header("From", settings.business.name, self.sender)
        support = settings.business.support_address
        if support:
            self._from += _one_token("Reply-To", wire_address(support, "business.support_address"))

    def build(self, letter: NoticeFacts, content: Content, now: datetime) -> RenderedMail:
        """The message of a notice, the same bytes for the same arguments.

        Raises `TemplateError` if the notice can't be addressed.
        """
        recipient = wire_address(letter.to_address, letter.reference or letter.kind)
        identity = digest_of(letter.dedupe_key)
        message_id = f"<{identity}@{self.domain}>"
        subject = _safe(content.subject)  # with the marks that fence its right-to-left names off
        headers = (
            self._from,
            _address_header("To", letter.to_name, recipient),
            _text_header("Subject", subject),
            f"Date: {_date(now)}\r\n",
            _one_token("Message-ID", message_id),
            self._thread_headers(letter.thread),
            f"Auto-Submitted: auto-generated\r\nContent-Language: {content.language}\r\n",
            "MIME-Version: 1.0\r\n",
        )
        raw = "".join(headers).encode("ascii") + _body(content, identity, self._logo)
        return RenderedMail(
            dedupe_key=letter.dedupe_key,
            sender=self.sender,
            recipient=recipient,
            subject=subject,
            message_id=message_id,
            raw=raw,
            sha256=hashlib.sha256(raw).hexdigest(),
        )

    def _thread_headers(self, thread: str) -> str:
        # The root is no message that exists. Mail programs put together what refers to the same one,
        # and whichever notice comes first needs no memory of the others. X-Entity-Ref-ID has to be the
        # same too: Gmail takes mails apart that differ in it.
        if not thread:
            return ""
        entity = digest_of(f"thread:{thread}")
        root = f"<{entity}@{self.domain}>"
        headers = ("In-Reply-To", root), ("References", root), ("X-Entity-Ref-ID", entity)
        return "".join(_one_token(name, value) for name, value in headers)


def digest_of(key: str) -> str:
    """A stable name for a key, fit for a Message-ID or a UID: 160 bits of its SHA-256 in hex."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:40]


@lru_cache(maxsize=64)
def _date(now: datetime) -> str:
    if now.tzinfo is None:
        raise ValueError("the time of a message must be aware")
    return format_datetime(now.astimezone(UTC))


# --- headers ---------------------------------------------------------------------------------------


class _QEncoded(dict[str, str]):
    """Each character as RFC 2047's Q encoding writes it where the rules are strictest, in a name."""

    def __missing__(self, character: str) -> str:
        if character.isascii() and (character.isalnum() or character in "!*+-/"):
            encoded = character
        elif character == " ":
            encoded = "_"
        else:
            encoded = "".join(f"={byte:02X}" for byte in character.encode())
        self[character] = encoded
        return encoded


_Q = _QEncoded()


def _encoded_words(value: str, taken: int) -> str:
    """`value` as encoded words, folded; `taken` characters stand before it in its line.

    A character is never split between two words; the shorter of the two encodings is used.
    """
    pieces = [_Q[character] for character in value]
    in_base64 = sum(map(len, pieces)) > len(value.encode()) * 4 // 3 + 4
    words, start, room = [], 0, _FOLD_AT - taken - len("=?utf-8?q??=")
    while start < len(value):
        end, size = start, 0
        while end < len(value):
            size += len(value[end].encode()) if in_base64 else len(pieces[end])
            if (-(-size // 3) * 4 if in_base64 else size) > room and end > start:
                break
            end += 1
        if in_base64:
            words.append(f"=?utf-8?b?{b64encode(value[start:end].encode()).decode()}?=")
        else:
            words.append(f"=?utf-8?q?{''.join(pieces[start:end])}?=")
        start, room = end, _FOLD_AT - 1 - len("=?utf-8?q??=")
    return "\r\n ".join(words)


def _text_header(name: str, value: str) -> str:
    if not value.isascii() or "=?" in value:
        return f"{name}: {_encoded_words(value, len(name) + 2)}\r\n"
    if len(name) + 2 + len(value) <= _FOLD_AT:
        return f"{name}: {value}\r\n"
    words = value.split(" ")
    if max(map(len, words)) > _FOLD_AT - len(name) - 2:
        return f"{name}: {_encoded_words(value, len(name) + 2)}\r\n"
    return _folded(f"{name}:", words)


def _one_token(name: str, value: str) -> str:
    """A header whose value can't be broken: it stands on a line of its own if it has to."""
    fold = "\r\n " if len(name) + 2 + len(value) > _FOLD_AT else " "
    return f"{name}:{fold}{value}\r\n"


def _folded(start: str, words: Sequence[str]) -> str:
    lines = [start]
    for word in words:
        if len(lines[-1]) + 1 + len(word) > _FOLD_AT:
            lines.append(f" {word}")
        else:
            lines[-1] += f" {word}"
    return "\r\n".join(lines) + "\r\n"


def _address_header(name: str, display: str, address: str) -> str:
    display = one_line(display)[:_LONGEST_NAME].rstrip()
    if not display:
        return _one_token(name, address)
    if display.isascii() and len(display) <= _FOLD_AT - len(name) - 8 and "=?" not in display:
        if not _PLAIN_PHRASE.fullmatch(display):
            display = '"' + display.replace("\\", "\\\\").replace('"', '\\"') + '"'
    else:
        display = _encoded_words(display, len(name) + 2)
    last_line = len(display) - display.rfind("\n") + len(name)
    fold = "\r\n " if last_line + len(address) + 3 > _FOLD_AT else " "
    return f"{name}: {display}{fold}<{address}>\r\n"


# --- bodies ----------------------------------------------------------------------------------------


def _body(content: Content, identity: str, logo: bytes = b"") -> bytes:
    """The text, the HTML with the image that it shows, and beside both what is attached."""
    boundary, around_html = f"=_a_{identity}", f"=_r_{identity}"
    html = _part('text/html; charset="utf-8"', _ascii_html(content.html), around_html if logo else boundary)
    if logo:
        html = _multipart("related", around_html, (html, logo), 'type="text/html"')
    body = _multipart(
        "alternative", boundary, (_part('text/plain; charset="utf-8"', content.text, boundary), html)
    )
    outer = f"=_m_{identity}"
    attached = []
    if content.calendar is not None:
        attached.append(_calendar_part(content.calendar, outer))
    if content.pdf is not None:
        attached.append(_pdf_part(content.pdf))
    return _multipart("mixed", outer, (body, *attached)) if attached else body


def _calendar_part(calendar: CalendarPart, boundary: str) -> bytes:
    return _part(
        f'text/calendar; charset="utf-8"; method={calendar.method}',
        calendar.text,
        boundary,
        'Content-Disposition: attachment; filename="payment.ics"\r\n',
    )


def _pdf_part(pdf: PdfPart) -> bytes:
    head = (
        "Content-Type: application/pdf\r\n"
        f'Content-Disposition: attachment; filename="{pdf.filename}"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    return head.encode("ascii") + _base64(pdf.data)


def _multipart(subtype: str, boundary: str, parts: Sequence[bytes], more: str = "") -> bytes:
    line = b"\r\n--" + boundary.encode("ascii")
    parameters = "".join(f";\r\n {parameter}" for parameter in (more, f'boundary="{boundary}"') if parameter)
    head = f"Content-Type: multipart/{subtype}{parameters}\r\n".encode("ascii")
    return b"".join([head, *(line + b"\r\n" + part for part in parts), line, b"--\r\n"])


def _image_part(logo: Logo, content_id: str) -> bytes:
    """An image that travels with the mail and is shown in it: nothing is fetched, so nothing is blocked."""
    head = (
        f"Content-Type: image/{logo.subtype}\r\n{_one_token('Content-ID', f'<{content_id}>')}"
        f'Content-Disposition: inline; filename="logo.{logo.subtype}"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    return head.encode("ascii") + _base64(logo.data)


def _base64(data: bytes) -> bytes:
    encoded = b64encode(data)
    return b"\r\n".join(encoded[i : i + 76] for i in range(0, len(encoded), 76))


def _part(content_type: str, text: str, boundary: str, more: str = "") -> bytes:
    """One body part: unencoded if it can travel so, otherwise in the shorter of the two encodings."""
    head = f"Content-Type: {content_type}\r\n{more}Content-Transfer-Encoding: "
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _fits_7bit(text) and boundary not in text:
        return f"{head}7bit\r\n\r\n".encode("ascii") + text.replace("\n", "\r\n").encode("ascii")
    data = text.replace("\n", "\r\n").encode("utf-8", "replace")
    # Quoted-printable makes three bytes of each one beyond ASCII; base64 four of any three. Python's
    # b2a_qp takes the line ends for its soft breaks from the data, so there has to be one.
    beyond = len(data.translate(None, _ASCII))
    if beyond * 6 > len(data) or b"\r\n" not in data:
        return f"{head}base64\r\n\r\n".encode("ascii") + _base64(data)
    return f"{head}quoted-printable\r\n\r\n".encode("ascii") + b2a_qp(data)


def _fits_7bit(text: str) -> bool:
    return text.isascii() and "\0" not in text and not _TOO_LONG.search(f"\n{text}")


def _ascii_html(html: str) -> str:
    """HTML with references for what is not ASCII, unless it stands where references mean nothing."""
    if html.isascii() or not html[html.find("<style") : html.rfind("</style>")].isascii():
        return html
    return html.encode("ascii", "xmlcharrefreplace").decode("ascii")
