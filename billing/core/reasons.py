"""Why something waits, was rejected, or did not work: every sentence of the program that a digest may tell.

They are stored in English, by `.format(...)` where they hold values, and joined by ": ", "; " and ", ".
`mail/digest_words.py` finds them again in what is stored, and says them in the operator's language. So a
change of words here leaves what is stored already untranslated; add rather than change.
"""

from __future__ import annotations

# Held: `causes.held_cause` reads the kind from how it begins.
CATCH_UP = "catch-up: missed before the latest due period, over cycle.catch_up_limit"
PAUSED = "paused: its subscription was paused before it was sent"
HELD_BACK = "paused: an earlier payment of this subscription was not paid"
"""The cause of what falls due on the day of the final action, or after it."""
MOST_PAYMENTS = "over the safety limit cycle.max_payments_per_run ({limit})"
MOST_MONEY = "over the safety limit cycle.max_amount_per_run ({limit} USDC)"
FAILED_IN_A_ROW = "{count} creates in a row failed (safety limit cycle.max_consecutive_failures)"
MANY_UNKNOWN = "{count} of {all} outcomes are unknown (safety limit cycle.max_unknown_share {limit})"

# A run stops.
KEY_REFUSED = "Mileston refused the API key (401)"
KEY_FORBIDDEN = "Mileston forbids this key to create payments (403)"
SLOWED_DOWN = "Mileston asked {count} times in a row to slow down, and took nothing"
UNREACHABLE = "Mileston can't be reached"
ASKED_TO_STOP = "asked to stop"
ANOTHER_FILE = "its file is not the one that was last used: a copy may have been put in its place"
LIST_NOT_READ = "Mileston's list could not be read"
NEXT_RUN_CHECKS = "the next run after {instant} checks Mileston"
TRUST = "if nothing is missing, say `billing database trust`"

# A step could not do its work; what follows is why.
NOT_READ = "payment {id} could not be read"
NOT_READ_AGAIN = "payment {id} could not be read again"
NOT_LOOKED_AT = "payment {id} could not be looked at again"
DOUBLE_IS_THERE = "a duplicate of payment {id} is still there"
SOME_NOT_READ = "some payments could not be read; they are read next time"

# Unknown: it is looked up before anything is sent.
TURNED_UP = "Mileston has a payment with its payment number already"
LOOKALIKE = "a record at Mileston has its e-mail, amount and date, and no payment number"
FROM_BACKUP = "the database was restored from a backup"
MAY_EXIST = "it may exist at Mileston already"
FORGOTTEN = "Mileston has payments that this database believes unsent: this one may have been sent, too"
RUN_DIED = "its run died before the outcome was written"
OLD_PROOF = "it was proved not to exist at Mileston, but a while ago"
ID_OF_ANOTHER = "the API answered with the id of another payment"
ECHO_DIFFERS = "Mileston's answer lacks these fields or differs from what was sent: {fields}"

# Parked: a person decides.
OTHER_FIELD = "a remote payment bears its marker, but its {fields} is not ours"
NO_NUMBER_OF_OURS = (
    "the record {remote_id} has its e-mail, amount and date, and no payment number of ours: "
    "decide whether it is this payment"
)
NOT_SHOWN = "Mileston answered with the record {remote_id}, but does not show it"
MADE_ANOTHER = "Mileston made the record {remote_id} for it, but its {fields} is not ours"
ID_IS_TAKEN = "the record that bears its payment number has the id of payment {id}"
SET_A_NAMESPACE = "if another database bills through the same Mileston business, set mileston.namespace"
TWO_DATABASES = "docs/deploy/restore.md says what to do when two databases bill through one Mileston business"
ABSENT = "proved not to exist at Mileston; reconcile.when_absent = 'park' leaves it to a person"
UNPROVED = "cannot confirm whether it exists at Mileston"

# What a list does not prove, and what would.
NUMBER_IS_LACKING = (
    "the record {remote_id} is ours, and its name at Mileston lacks its payment number: one that is not "
    "found by its number may exist all the same; look there for the subscriber's e-mail address and the "
    "amount"
)
LIST_IS_FULL = "the list is full ({count} records)"
LIST_LACKS = "the list lacks {count} of our records, so it is cut off or out of date"
LIST_IS_CUT = "the list may be cut off by Mileston at {count} records, its length"
AND_NO_ORDER = "and our records stand in it in no order that is known"
AND_TOO_FEW = "and too few of our records ({count} in a row) show its order"
WHOLE_LIST = "a list that is longer and not full would prove it"
AND_BEYOND = (
    'and if its order is "{part}", the payment could be beyond its end; a list that shows, of our records, '
    "{wanted} would prove it (a larger reconcile.page_size reads further)"
)
NEWEST_FIRST, MADE_BEFORE = "newest first", "one made before {made}"
OLDEST_FIRST, MADE_AFTER = "oldest first", "one made after {made_by}"
LATEST_CHANGE_FIRST, CHANGED_BEFORE = "latest change first", "{count} last changed before {made}"
EARLIEST_CHANGE_FIRST, OTHER_ORDER = "earliest change first", "ours in another order than this"
LATEST_DUE_FIRST, DUE_BEFORE = "latest due date first", "one due before {due}"
EARLIEST_DUE_FIRST, DUE_AFTER = "earliest due date first", "one due after {due}"
ITS_DUE_DATE = "its due date"

# Flagged: a person looks.
VANISHED = "it is no longer at Mileston; if that was meant, void it"
"""Until its record is seen again."""
UNPAID_AGAIN = "it was paid, and Mileston says now that it is unpaid"
VOID_IS_THERE = "it is void, and its record {remote_id} is still at Mileston: delete it there"
VOID_WAS_PAID = "it is void, and its record {remote_id} was paid at Mileston: pay it back"
VOID_TURNED_UP = "it is void, and a remote payment bears its payment number"
VOID_DOUBLE_PAID = "it is void, and a duplicate of it was paid at Mileston; pay it back"
PAID_TWICE = "it was paid twice at Mileston; pay one of the two back"
STRANGER = (
    "another record, {remote_id}, bears its payment number with another amount, e-mail or date; it is left "
    "alone. If a second database bills through the same Mileston business, give each a mileston.namespace of "
    "its own (docs/deploy/restore.md)"
)
SURVIVOR = (
    "it was paid, its record {remote_id} is no longer at Mileston, and a duplicate, {other_id}, still is: "
    "delete that there, or it will be paid again"
)
UNCLEAR_DOUBLE = "its duplicate {remote_id} has a status that is neither paid nor unpaid"
DELETED_IN_VAIN = "its duplicate {remote_id} was deleted, and Mileston still shows it: delete it there"
OF_ANOTHER = "the record {remote_id} is another's: neither its name nor its e-mail is this payment's"
PAID_OTHERWISE = "it was paid with {paid} USDC at Mileston, and {amount} USDC were due"
PAID_UNREADABLY = "it was paid with an unreadable amount at Mileston, and {amount} USDC were due"
UNCLEAR = "it is not clear whether it was paid"
UNCLEAR_STATUS = "its status there is neither paid nor unpaid"
UNCLEAR_DATE = "its date there is {due_on} now"

# Records that may renew themselves.
RENEWED_TO = "its record at Mileston renewed itself to {due_on}"
RECORDS_RENEW = "records at Mileston renew themselves, and nothing is sent beside such records"
SET_STOP = 'set mileston.renewal = "stop" if Mileston does so with all (docs/deploy/renewal.md)'
BEFORE_RENEWED = "the record {remote_id} of the period before renewed itself"
MOVED_UNSEEN = (
    "the record {remote_id} of payment {id} moved on by itself to {due_on}, before it was seen paid: find "
    "out whether it was, then release or void this one"
)
MOVED_AND_PAID = (
    "the record {remote_id} of payment {id} moved on by itself to {due_on}, and is paid: find out for which "
    "of the two periods, then release or void this one"
)
MOVED_ELSEWHERE = (
    "the record {remote_id} of payment {id} moved on by itself to {due_on}, which is not when this one is "
    "due: delete it at Mileston if nobody shall pay it, then release this one"
)
MOVED_CHANGED = (
    "the record {remote_id} of payment {id} moved on by itself to {due_on}, and its name or e-mail is not "
    "this subscription's: delete it at Mileston if nobody shall pay it, then release this one"
)
ASKS_BESIDE = "another record asks for that period: delete {remote_id} there"
ASKS_AFTER_END = "its subscription has ended: delete {remote_id} there"
ASKS_FOR_NOTHING = "nothing of its subscription is due then: delete {remote_id} there"
WAITS_FOR_RECORD = "payment {id} waits for the record of the period before"
EXISTENCE_UNKNOWN = "it is not known yet whether payment {id} exists"
NOT_STOPPED = "{count} records could not be kept from renewing themselves"
INTERVAL_STAYS = "Mileston keeps the interval of {count} days of {remote_id}"
RECORD_NOT_CHANGED = "the record {remote_id} was not changed"
RECORD_CHANGED_MEANWHILE = "the record {remote_id} changed while it was looked at"
CHANGE_NOT_SHOWN = "the record {remote_id} was changed, and does not show it"
WAS_PAID_BEFORE = "its duplicate {remote_id} was paid for an earlier period: delete it there"

# What Mileston answered, or did not.
UPDATE_CALL = "update recurring payment"
LIST_CALL = "list recurring payment"
GET_CALL = "get recurring payment"
DELETE_CALL = "delete recurring payment"
TOO_LATE = "its deadline had passed before it was sent"
TOO_LARGE = "the answer is too large"
UNUSABLE = "the connection was found unusable before the request was sent"
NO_ANSWER = "no complete answer within {seconds} s"
NO_CONNECTION = "no connection within {seconds} s"
NO_MESSAGE = "HTTP {status} without a message"
NO_OBJECT = "HTTP {status} without a JSON object"
NO_REDIRECT = "redirects are not followed"
BUT_NO_ARRAY = "but the answer has no array {fields}"
BUT_FAILURE = "but the answer reports a failure"
BUT_NOT_JSON = "but the answer is not usable JSON"
BUT_NOT_SHOWN = "but the answer does not show the record that was asked for"
OURS_WITHOUT_ID = "a payment of ours has no usable id"
CHECK_KEY = "check MILESTON_API_KEY and MILESTON_BUSINESS_ID"
KEY_NOT_READ = "the API key could not be read ({error})"
KEY_NOT_SENT = "the API key can't be sent"
BUSINESS_NOT_SENT = "the business id can't be sent"
NO_HEADER = (
    "it is empty, or contains characters that no header can carry "
    "(only Latin-1, no control characters, no blanks at its ends)"
)
NOT_UNICODE = "one of its texts is not valid Unicode"
NOTHING_SENT = "nothing was sent"

# Why an e-mail failed, or may have gone out.
MADE_ELSEWHERE = (
    "its payment was found at Mileston and not made by this database, so its e-mail may have gone out "
    "before; send it with `billing notices resend`"
)
MAIL_RUN_DIED = "the run died while the mail server may have taken it"
NO_LETTER = "its record makes no letter"
NOT_AN_ADDRESS = "the recipient's address is not a plain ASCII address; nothing was sent to the server"
WRONG_LINE_ENDS = "the message has line ends other than CRLF; nothing was sent to the server"
IN_REPLY_TO = "(in reply to {part})"
NO_REPLY = "no answer in time (at {part})"
LOST = "the connection was lost (at {part})"
NOT_SMTP = "an answer that is not SMTP (at {part})"
THE_BODY = "the body"
THE_FINAL_DOT = "the final dot"

# Whatever stands above is one of them: none can be forgotten here.
REASONS = tuple(text for name, text in list(globals().items()) if name.isupper() and isinstance(text, str))
