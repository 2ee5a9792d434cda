"""Whom a server's refusal is about: one message and its recipient, or the account that sends all of them.

A refusal of the account would be repeated for every message of the outbox, so it must fail none. The codes
alone don't tell: providers say quotas and blocked accounts with 5xx codes of every kind, so their words are
read too. Where nothing here matches, the refusal is the message's own: that is what SMTP says it is.
"""

from __future__ import annotations

import re
from enum import Enum


class AccountFault(Enum):
    """Why a server takes nothing from us; the value says what to do about it."""

    QUOTA = "the account's sending limit is used up: wait until it renews, or raise it with the provider"
    SENDER = "correct mail.from_address, or let the provider verify it for this account"
    LOGIN = "check mail.smtp_username, BILLING_SMTP_PASSWORD and mail.smtp_tls"
    RELAY = "set mail.smtp_username, or let the server's administrator permit this machine to send"
    BLOCKED = "the account or this machine is blocked: ask the provider why, and settle it there"
    NAME = "set mail.helo_name to the name by which the server knows this machine"


_STATUS = re.compile(r"\s*([45]\.\d{1,3}\.\d{1,3})\b")  # RFC 2034: each line begins with it

_WANTS_LOGIN = (530, 534, 535, 538)  # RFC 4954, 6: a login or TLS first; said to any command

_OUT_OF_STEP = 503  # RFC 5321: the conversation is at fault, and has to be begun anew

# Said to MAIL FROM, and yet about one message: its size (RFC 1870: 552; RFC 3463: X.2.3, X.3.4) or its
# characters (RFC 6531, 3.5: 550 or 553 with X.6.7). The parameters that we send, 555, stand for its size too.
_OF_THIS_SIZE = re.compile(
    r"5\.(?:2\.3|3\.4|6\.\d+)\b|.*\b(?:size|too (?:large|big|long)|utf-?8)\b", re.DOTALL
)
_SIZE_CODES = (552, 555)

_BY_STATUS: dict[str, AccountFault] = {
    "5.1.7": AccountFault.SENDER,  # RFC 3463: the sender's address is not valid
    "5.1.8": AccountFault.SENDER,  # RFC 3463: nor is its host; Exchange Online: "bad outbound sender"
    "5.1.90": AccountFault.QUOTA,  # Exchange Online: "you've reached your daily limit for message recipients"
    "5.4.5": AccountFault.QUOTA,  # Gmail: "daily user sending limit exceeded"
    "5.7.8": AccountFault.LOGIN,  # RFC 4954: credentials invalid
    "5.7.9": AccountFault.LOGIN,  # RFC 4954: mechanism too weak; Gmail: wants an app password
    "5.7.14": AccountFault.LOGIN,  # Gmail: "please log in via your web browser"
    "5.7.23": AccountFault.SENDER,  # RFC 7372: SPF
    "5.7.25": AccountFault.RELAY,  # RFC 7372: this machine has no name in reverse DNS
    "5.7.26": AccountFault.SENDER,  # RFC 7372: neither SPF nor DKIM; Gmail: DMARC
    "5.7.27": AccountFault.SENDER,  # RFC 7505: the sender's domain takes no mail
    # Exchange Online, from Microsoft's list of its non-delivery reports:
    "5.7.57": AccountFault.LOGIN,  # "client was not authenticated to send anonymous mail"
    "5.7.60": AccountFault.SENDER,  # "client does not have permissions to send as this sender"
    "5.7.64": AccountFault.RELAY,  # "TenantAttribution; Relay Access Denied"
    "5.7.232": AccountFault.QUOTA,  # "your trial tenant has exceeded its daily limit"
    "5.7.233": AccountFault.QUOTA,
    "5.7.501": AccountFault.BLOCKED,  # "spam abuse detected", said of the account
    "5.7.502": AccountFault.BLOCKED,  # "banned sender"
    "5.7.503": AccountFault.BLOCKED,
    "5.7.506": AccountFault.NAME,  # "bad HELO"
    "5.7.508": AccountFault.QUOTA,  # this address "has exceeded permitted limits"
    "5.7.509": AccountFault.SENDER,  # DMARC
    "5.7.511": AccountFault.BLOCKED,  # "banned sender", said of this machine
    "5.7.705": AccountFault.BLOCKED,  # "tenant has exceeded threshold"
    "5.7.708": AccountFault.BLOCKED,  # "traffic not accepted from this IP"
    "5.7.750": AccountFault.SENDER,  # "client blocked from sending from unregistered domains"
}

# The recipient's, whatever the words say. RFC 3463: no such mailbox or host (X.1.1-3), moved (X.1.6),
# disabled (X.2.1). Exchange Online: no such recipient (5.1.10, 5.7.504, 505), the recipient's own rules
# (5.7.507, 510, 513), mail from its own people alone (5.7.12, 13, 124, 133-136), too much for one mailbox
# (5.2.121, 122).
_OF_RECIPIENT = re.compile(
    r"5\.(?:1\.(?:1|2|3|6|10)|2\.(?:1|121|122)|7\.(?:12|13|124|13[3-6]|504|505|507|510|513))\b"
)
# The same in words. Exchange Online, and Postfix's check_recipient_access: "Recipient address rejected:
# Access denied"; Postfix's reject_unverified_recipient: "… rejected: unverified address"; Gmail: "the email
# account that you tried to reach is disabled", "the user or domain that you are sending to (or from) has a
# policy".
_SAYS_RECIPIENT = re.compile(
    r"recipient address rejected: (?:access denied|un\w+ (?:address|recipient)|user unknown)"
    r"|tried to reach|trying to (?:reach|contact)|sending to \(or from\)|(?:rejected by|banned) recipient"
    r"|customer block list|\brecipient (?:account|mailbox)\b"
)

_LIMIT = re.compile(r"\b(?:quotas?|limits?|credits|rate|max(?:imum)?|threshold)\b|submissionquotaexceeded")
_USED_UP = re.compile(r"exceed|reached|used up")
_OF_SENDING = re.compile(
    r"\b(?:daily|hourly|monthly|sending|submission|outgoing|outbound|relay|rate|credits|e-?mail quota"
    r"|per (?:day|hour|month|minute)|you(?:'ve| have) (?:exceeded|reached|used))\b|submissionquotaexceeded"
)
_OF_DAYS = re.compile(r"\b(?:daily|hourly|monthly|24.hours?|per (?:day|hour|month))\b")
_OF_MAILBOX = re.compile(r"mailbox|receiv|recipient's|\bsize\b|too (?:large|big)|\bfull\b|over quota")

_SHUT = r"\b(?:suspended|disabled|locked|blocked|banned|terminated|deactivated|paused)\b"
_WORDS: tuple[tuple[AccountFault, str], ...] = (
    # A policy service beside Postfix (root-io/vmail#67): "Data command rejected: only 10 messages per day".
    (AccountFault.QUOTA, r"\bonly \d+ (?:messages|e?-?mails|recipients) per"),
    # Postfix: "Helo command rejected: need fully-qualified hostname".
    (AccountFault.NAME, r"\b(?:helo|ehlo)\b.*\b(?:rejected|refused|invalid|denied)|\b(?:invalid|bad) helo"),
    # Postfix: "Relay access denied"; Exim: "relay not permitted"; sendmail, Postal: "Relaying denied"; Gmail:
    # "Mail relay denied", "Invalid credentials for relay"; Exchange: "Unable to relay".
    (
        AccountFault.RELAY,
        r"\brelay(?:ing)?\b.{0,30}\b(?:denied|not (?:permitted|allowed)|prohibited|refused)",
    ),
    (AccountFault.RELAY, r"\b(?:unable|not permitted|not allowed|refused?) to relay|(?:not|n't) relay"),
    (AccountFault.RELAY, r"\bcredentials for relay"),
    # Gmail: "Authentication Required"; Exchange: "Client was not authenticated"; SendGrid: "Unauthenticated
    # senders not allowed"; Postfix: "Must issue a STARTTLS command first".
    (AccountFault.LOGIN, r"\bauthenti\w+ (?:is )?required|\bclient was not authenticated|\blog ?in first"),
    (AccountFault.LOGIN, r"\bmust (?:first )?(?:be )?(?:authenticated?|log ?in|issue a starttls)\b"),
    (AccountFault.LOGIN, r"\bunauthenticated sender"),
    # Postfix: "Sender address rejected: not owned by user"; Exim: "Sender verify failed"; Exchange Online:
    # "SendAsDenied"; SES: "Email address is not verified"; SendGrid: "does not match a verified Sender
    # Identity"; Postmark: "Sender Signature"; Mailgun: "The domain is not allowed to send".
    (AccountFault.SENDER, r"\bsender(?: address)? (?:is )?(?:rejected|denied)|sendasdenied"),
    (AccountFault.SENDER, r"\bsender(?: address)? (?:is )?not (?:allowed|authori[sz]ed|permitted|verified)"),
    (AccountFault.SENDER, r"\bsender (?:verif\w+ failed|signature|identity|identities)\b"),
    (AccountFault.SENDER, r"\b(?:address|domain|sender|identity)\b.{0,20}\b(?:not (?:been )?|un)verified"),
    # "Not allowed to send to this group" is the group's own rule.
    (AccountFault.SENDER, r"\bnot (?:allowed|authori[sz]ed|permitted) to send\b(?! (?:\w+ ){0,3}to\b)"),
    # Mailgun: "Sandbox subdomains are for test purposes only"; SES: "Sending suspended for this account".
    (AccountFault.BLOCKED, r"\bfor test purposes only|\bsending (?:\w+ ){0,2}(?:suspended|paused)"),
    (AccountFault.BLOCKED, rf"\byour (?:\w+ )?(?:account|domain|server|ip)\b.{{0,40}}{_SHUT}"),
    # Postfix: "Client host rejected: Access denied", "Client host [x] blocked using" a list.
    (AccountFault.BLOCKED, r"\bclient host\b.*\b(?:rejected|blocked|denied)|\bbanned send"),
)
_BY_WORDS = tuple((fault, re.compile(pattern)) for fault, pattern in _WORDS)
# Words that mean the account only beside X.7.x (security or policy): elsewhere they are said of a mailbox.
_BY_WORDS_OF_POLICY = re.compile(rf"\baccess denied|\baccount\b.{{0,40}}{_SHUT}")


def account_fault(phase: str, code: int, words: str) -> AccountFault | None:
    """What is wrong with the sending account, if a refusal is about it; None: it is about this message.

    `phase` is the command that it replies to, `words` what follows the code, without addresses.
    """
    text = words.lower()
    found = _STATUS.match(text)
    status = found[1] if found else ""
    if code in _WANTS_LOGIN:
        return AccountFault.LOGIN
    if code == _OUT_OF_STEP:
        return None
    if code < 500:  # only what lasts: a rate a second, or a full queue, is over at the message's next try
        return AccountFault.QUOTA if _OF_DAYS.search(text) and _is_quota(text) else None
    named = _BY_STATUS.get(status) or _by_words(status, text)
    if phase == "MAIL FROM" and named is None:
        of_message = code in _SIZE_CODES or _OF_THIS_SIZE.match(text)
        return None if of_message else AccountFault.SENDER
    return named


def _by_words(status: str, text: str) -> AccountFault | None:
    if _OF_RECIPIENT.match(status) or _SAYS_RECIPIENT.search(text):
        return None
    if _is_quota(text):
        return AccountFault.QUOTA
    for fault, pattern in _BY_WORDS:
        if pattern.search(text):
            return fault
    policy = status.startswith("5.7.") or text.startswith("access denied")  # SES: "554 Access denied: …"
    return AccountFault.BLOCKED if policy and _BY_WORDS_OF_POLICY.search(text) else None


def _is_quota(text: str) -> bool:
    """A limit of what we may send is used up, and not of what somebody may receive or a message may weigh."""
    patterns = (_LIMIT, _USED_UP, _OF_SENDING)
    return all(pattern.search(text) for pattern in patterns) and not _OF_MAILBOX.search(text)
