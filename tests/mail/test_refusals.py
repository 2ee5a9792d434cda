"""Whose fault a refusal is: what real servers say, from their documentation and from bug reports."""

from __future__ import annotations

import pytest

from billing.mail.refusals import AccountFault, account_fault

RCPT, DATA, DOT, MAIL = "RCPT TO", "DATA", "the final dot", "MAIL FROM"
QUOTA, SENDER, LOGIN, RELAY, BLOCKED, NAME = AccountFault

OF_ACCOUNT: list[tuple[AccountFault, str, str]] = [
    # Gmail and Google Workspace: support.google.com/a/answer/3726730
    (QUOTA, DATA, "550 5.4.5 Daily user sending limit exceeded. For more information on Gmail"),
    (QUOTA, DATA, "550 5.4.5 Daily user sending quota exceeded. o65sm25351206pga.71 - gsmtp"),
    (QUOTA, RCPT, "550 5.7.1 Daily SMTP relay limit exceeded for user. For more information"),
    (QUOTA, DOT, "550 5.7.1 Email quota exceeded."),
    (RELAY, RCPT, "550 5.7.0 Mail relay denied. Invalid credentials for relay for one of the"),
    (RELAY, RCPT, "550 5.7.1 Invalid credentials for relay [192.0.2.1]. The IP address"),
    (LOGIN, MAIL, "530 5.5.1 Authentication Required. For more information, visit"),
    (LOGIN, MAIL, "530 5.7.0 Must issue a STARTTLS command first"),
    (LOGIN, RCPT, "534 5.7.14 Please log in through your web browser and then try again"),
    (SENDER, DOT, "550 5.7.26 Unauthenticated email from example.com is not accepted due to"),
    # Exchange Online: learn.microsoft.com, "Email non-delivery reports and SMTP errors in Exchange Online"
    (QUOTA, DOT, "550 5.1.90 Your message can't be sent because you've reached your daily limit"),
    (QUOTA, DOT, "554 5.2.2 Submission quota exceeded"),
    (QUOTA, DOT, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException"),
    (QUOTA, DOT, "550 5.7.233 Your message can't be sent because your tenant exceeded its daily"),
    (QUOTA, RCPT, "550 5.7.508 Access denied, [192.0.2.1] has exceeded permitted limits within"),
    (SENDER, DOT, "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException"),
    (SENDER, DOT, "550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
    (SENDER, DOT, "550 5.1.8 Access denied, bad outbound sender AS(42004)"),
    (BLOCKED, RCPT, "550 5.7.501 Access denied, spam abuse detected from this account"),
    (BLOCKED, RCPT, "550 5.7.606 Access denied, banned sending IP [192.0.2.1]"),
    (BLOCKED, RCPT, "550 5.7.705 Access denied, tenant has exceeded threshold"),
    (RELAY, RCPT, "550 5.7.64 TenantAttribution; Relay Access Denied"),
    (RELAY, RCPT, "550 5.7.1 Unable to relay"),
    (LOGIN, RCPT, "550 5.7.1 Client was not authenticated"),
    (NAME, RCPT, "550 5.7.506 Access Denied, Bad HELO"),
    # Amazon SES: docs.aws.amazon.com/ses, "Amazon SES email sending errors", "manage-sending-quotas-errors"
    (SENDER, DOT, "554 Message rejected: Email address is not verified. The following"),
    (BLOCKED, DOT, "554 Access denied: User `arn:aws:iam::1:user/x' is not authorized to perform"),
    (BLOCKED, DOT, "554 Message rejected: Sending suspended for this account."),
    (QUOTA, DOT, "454 Throttling failure: Daily message quota exceeded."),
    # SendGrid: twilio.com/docs/sendgrid, "SMTP Errors and Troubleshooting"
    (SENDER, DOT, "550 The from address does not match a verified Sender Identity."),
    (SENDER, MAIL, "550 You are not authorized to send from that email address"),
    (LOGIN, MAIL, "550 Unauthenticated senders not allowed"),
    (QUOTA, DATA, "550 Maximum credits exceeded"),
    # Mailgun and Postmark: their support pages
    (SENDER, DATA, "550 5.7.1 The domain mg.example.com is not allowed to send"),
    (BLOCKED, DATA, "550 5.7.1 Sandbox subdomains are for test purposes only. Please add"),
    (SENDER, DOT, "550 The 'From' address is not a Sender Signature on this account"),
    # Postfix, Exim, sendmail, hosters: manuals, and the issues named
    (RELAY, RCPT, "554 5.7.1 <address>: Relay access denied"),  # docker-mailserver#19
    (RELAY, RCPT, "550 5.7.1 Relaying denied"),  # nodemailer#1480
    (RELAY, RCPT, "550 5.7.1 <address>... Relaying denied. IP name lookup failed [192.0.2.1]"),
    (RELAY, RCPT, "550 relay not permitted"),  # namshi/docker-smtp#77
    (BLOCKED, RCPT, "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied"),
    (BLOCKED, RCPT, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using x"),
    (NAME, RCPT, "504 5.5.2 <[127.0.0.1]>: Helo command rejected: need fully-qualified hostname"),
    (SENDER, RCPT, "553 5.7.1 <address>: Sender address rejected: not owned by user anna"),
    (SENDER, RCPT, "550 5.1.8 <address>: Sender address rejected: Domain not found"),
    (SENDER, RCPT, "550 Sender verify failed"),
    (QUOTA, RCPT, "550 5.7.1 Recipient address rejected: Email Sending Quota Exceeded"),  # gomail#174
    (QUOTA, DATA, "554 5.7.1 <DATA>: Data command rejected: only 10 messages per day"),
    (QUOTA, RCPT, "554 5.7.1 Recipient address rejected: You have exceeded your Outmail quota."),
    (QUOTA, RCPT, "550 Domain example.com has exceeded the max defers and failures per hour"),
    (QUOTA, RCPT, "451 Domain example.com has exceeded the max emails per hour (100/100) allowed"),
    (BLOCKED, DATA, "550 5.7.1 Your account has been suspended"),
    (BLOCKED, DATA, "554 5.7.0 account locked, contact support"),
    # Said to MAIL FROM it is the sender, whatever the words
    (SENDER, MAIL, "550 5.0.0 no"),
    (SENDER, MAIL, "553 5.1.3 bad address"),
    (SENDER, MAIL, "554 5.7.1 we don't want it"),
    (QUOTA, MAIL, "552 5.7.1 daily sending limit reached"),
]  # fmt: skip

OF_MESSAGE: list[tuple[str, str]] = [
    # No such mailbox, a full one, a disabled one (RFC 3463; Gmail)
    (RCPT, "550 5.1.1 <address>: Recipient address rejected: User unknown in local recipient table"),
    (RCPT, "550 5.1.1 The email account that you tried to reach does not exist."),
    (RCPT, "550 5.1.2 bad destination system: no such domain"),
    (RCPT, "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"),
    (RCPT, "550 5.2.1 The email account that you tried to reach is disabled."),
    (RCPT, "552 5.2.2 The email account that you tried to reach is over quota."),
    (RCPT, "552 5.2.2 mailbox full: quota exceeded"),
    (RCPT, "552 5.2.2 User is over quota; daily limit reached"),
    (RCPT, "550 5.2.122 Recipient's per hour message receive limit exceeded"),
    (RCPT, "550 Requested action not taken: mailbox unavailable"),
    (RCPT, "550 This account has been disabled"),
    (RCPT, "550 no"),
    # The recipient's own rules (Exchange Online, Postfix)
    (RCPT, "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)"),
    (RCPT, "550 5.7.504 <address>: Recipient address rejected: Access denied"),
    (RCPT, "554 5.7.1 <address>: Recipient address rejected: Access denied"),
    (RCPT, "550 5.1.1 <address>: Recipient address rejected: undeliverable address: unknown user"),
    (RCPT, "550 5.7.1 <address>: Recipient address rejected: unverified address: account locked"),
    (RCPT, "550 5.7.124 Sender not in allowed-senders list"),
    (RCPT, "550 5.7.134 Sender was not authenticated for mailbox"),
    (RCPT, "550 5.7.1 You are not allowed to send to this group"),
    (RCPT, "550 5.7.1 You are not permitted to send email messages to this address"),
    (RCPT, "550 5.7.1 The user or domain that you are sending to (or from) has a policy that prohibited"),
    (RCPT, "550 5.7.513 Service unavailable, Client host [192.0.2.1] blocked by x using Customer Block list"),
    # This message's content or size
    (DOT, "554 5.7.1 Message rejected as spam"),
    (DOT, "550 5.7.1 Our system has detected that this message is likely unsolicited mail."),
    (DOT, "550 5.7.1 This email has a spam score over the limit"),
    (DOT, "550 5.7.1 Your message was blocked: it contains a forbidden address"),
    (DOT, "554 5.7.1 Message contains a virus"),
    (DOT, "550 5.6.0 Your message exceeds the maximum line length"),
    (DOT, "552 5.3.4 Message size exceeds fixed limit"),
    (DOT, "554 5.4.6 Hop count exceeded: maximum number of Received headers reached"),
    (MAIL, "552 5.3.4 too large"),
    (MAIL, "552 5.2.3 Your message exceeded Google's message size limits."),
    (MAIL, "550 5.6.7 SMTPUTF8 is required"),
    (MAIL, "553 a utf-8 address needs SMTPUTF8"),
    (MAIL, "555 5.5.4 SIZE parameter not recognized"),
    # Over soon: tried again one by one
    (DOT, "454 Throttling failure: Maximum sending rate exceeded."),
    (RCPT, "450 4.2.1 Peak SMTP relay limit exceeded for customer. This is a temporary error."),
    (RCPT, "450 4.7.1 Greylisted"),
    (RCPT, "452 4.2.2 The recipient's mailbox is over its daily quota: limit exceeded"),
    (MAIL, "451 4.7.1 Sender address rejected: try again later"),
]  # fmt: skip


def judge(phase: str, reply: str) -> AccountFault | None:
    code, _, words = reply.partition(" ")
    return account_fault(phase, int(code), words)


@pytest.mark.parametrize(("fault", "phase", "reply"), OF_ACCOUNT)
def test_an_answer_about_the_account(fault: AccountFault, phase: str, reply: str) -> None:
    assert judge(phase, reply) is fault


@pytest.mark.parametrize(("phase", "reply"), OF_MESSAGE)
def test_an_answer_about_one_message_or_its_recipient(phase: str, reply: str) -> None:
    assert judge(phase, reply) is None


def test_each_fault_says_what_to_do() -> None:
    for fault in AccountFault:
        assert "; " not in fault.value  # doctor parts what was found from the advice there
        assert fault.value[-1] != "."
