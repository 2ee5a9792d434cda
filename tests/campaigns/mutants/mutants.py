"""The guards, each as the edit that takes it away, and the test that must notice.

An edit replaces text that stands exactly once in its file; when the program changes there, the edit
has to be written anew, and the tool says so.
"""

from __future__ import annotations

from tests.campaigns.mutants.mutant import Mutant, one

_SENDING = "cycle/test_submit_guards.py::test_"
_RECONCILING = "cycle/test_reconcile_guards.py::test_"
_STORE = "store/test_guards.py::test_"
_NO_FIRST_LOOK = (
    "billing/cycle/observe.py",
    "    first = sending and there <= settings.look_first_up_to\n",
    "    first = False\n",
)
"""Guards behind the look before anything is sent: each must do without it."""


MUTANTS: tuple[Mutant, ...] = (
    one(
        "commit before send",
        _SENDING + "an_intent_is_committed_before_its_create_is_sent",
        "billing/cycle/submit.py",
        "                sending.begin_sending(tx, self.ctx.run_id, admitted, now, deadline, deadline)\n",
        "                pass\n",
    ),
    Mutant(
        "commit before send: what a crash leaves",
        _SENDING + "what_a_dead_run_had_sent_is_found_and_not_sent_again",
        (
            (
                "billing/cycle/submit.py",
                "                sending.begin_sending(tx, self.ctx.run_id, "
                "admitted, now, deadline, deadline)\n",
                "                pass\n",
            ),
            # Without this a database that knows of no attempt would be taken for a new one, and look.
            _NO_FIRST_LOOK,
        ),
    ),
    one(
        "recover to unknown, not to planned",
        _SENDING + "what_a_dead_run_had_sent_is_looked_for_with_patience",
        "billing/lifecycle/sending.py",
        "            state=PaymentState.UNKNOWN.value,\n            cause=reasons.RUN_DIED,\n",
        "            state=PaymentState.PLANNED.value,\n            cause=reasons.RUN_DIED,\n",
    ),
    one(
        "compare-and-set when taking up",
        _SENDING + "a_payment_that_another_run_is_sending_is_not_taken_up",
        "billing/lifecycle/sending.py",
        "        .where(_P.id.in_([row.id for row in rows]), _P.state == PaymentState.PLANNED.value)\n",
        "        .where(_P.id.in_([row.id for row in rows]))\n",
    ),
    one(
        "compare-and-set when moving",
        _SENDING + "a_move_out_of_a_state_that_is_past_does_nothing",
        "billing/lifecycle/moves.py",
        "        .where(_P.id.in_(ids), _P.state == old.value)\n",
        "        .where(_P.id.in_(ids))\n",
    ),
    one(
        "a lease longer than any send",
        _SENDING + "a_lease_outlives_whatever_its_sender_may_still_send",
        "billing/cycle/submit.py",
        "deadline = send_by + timedelta(seconds=self.ctx.settings.mileston.timeout_seconds)\n",
        "deadline = now\n",
    ),
    one(
        "too late an outcome refused",
        _SENDING + "an_outcome_that_comes_after_another_run_took_over_is_refused",
        "billing/lifecycle/sending.py",
        "_P.state == PaymentState.SENDING.value, _P.run_id == run_id)\n",
        "_P.state == PaymentState.SENDING.value)\n",
    ),
    one(
        "deadline re-check at the socket",
        _SENDING + "nothing_leaves_once_the_time_to_send_by_has_passed",
        "billing/gateway/sockets.py",
        "        if self._send_by is not None and self._clock() >= self._send_by:\n",
        "        if False:\n",
    ),
    one(
        "marker check of the answer",
        _SENDING + "an_answer_about_another_payment_is_no_success",
        "billing/gateway/verdicts.py",
        "    wrong = list(resource.differences(sent, echo))\n",
        "    wrong: list[str] = []\n",
    ),
    one(
        "marker check in the list",
        _RECONCILING + "only_the_own_marker_is_adopted",
        "billing/cycle/reconcile.py",
        "                        seen.by_marker.get(row.marker, ()),\n",
        "                        list(seen.by_id.values()),\n",
    ),
    one(
        "amount check of what bears the marker",
        _RECONCILING + "the_own_marker_with_another_amount_is_left_to_a_person",
        "billing/core/reconciling.py",
        "        fitting = [m for m in matches if not mismatch(m, lost.amount_micros, lost.email)]\n",
        "        fitting = list(matches)\n",
    ),
    one(
        "quiet window after the attempt",
        _RECONCILING + "a_create_that_takes_effect_late_is_found_and_not_sent_again",
        "billing/core/reconciling.py",
        "    if now < lost.deadline_at + quiet:\n",
        "    if False:\n",
    ),
    one(
        "quiet window between the looks",
        _RECONCILING + "two_looks_at_nearly_the_same_time_are_one",
        "billing/core/reconciling.py",
        "    if now < lost.absent_at + quiet:\n",
        "    if False:\n",
    ),
    one(
        "second look",
        _RECONCILING + "one_look_at_a_list_that_lags_proves_nothing",
        "billing/core/reconciling.py",
        "        return Verdict(\n            Finding.LOOK_AGAIN,\n            next_look_at=now + quiet,\n",
        "        return Verdict(\n            Finding.ABSENT,\n            next_look_at=now + quiet,\n",
    ),
    Mutant(
        "a proof of absence grows old",
        "cycle/test_recover_proofs.py::test_an_old_proof_without_a_list_sends_nothing",
        (
            (
                "billing/cycle/recover.py",
                "        sending.expire_proofs(tx, ctx.actor, ctx.clock(), ctx.clock() - quiet)\n",
                "        pass\n",
            ),
            (
                "billing/cycle/submit.py",
                "        late = ({row.id for row in old} | withheld) - gone\n",
                "        late = withheld - gone\n",
            ),
        ),
    ),
    Mutant(
        "a proof of absence grows old in mid-run",
        "cycle/test_recover_proofs.py::test_a_proof_that_grows_old_in_mid_run_sends_nothing",
        (
            (
                "billing/cycle/submit.py",
                "        late = ({row.id for row in old} | withheld) - gone\n",
                "        late = withheld - gone\n",
            ),
        ),
    ),
    one(
        "the payable day is never before the real day in live",
        "cycle/test_recover_proofs.py::test_in_live_the_payable_day_is_never_before_the_real_day",
        "billing/cycle/context.py",
        "        return max(self.as_of, self.today)\n",
        "        return self.as_of\n",
    ),
    one(
        "the mail of what another copy made waits",
        "cycle/test_recover_proofs.py::test_the_mail_of_what_another_copy_made_is_told_from_others",
        "billing/cycle/reconcile.py",
        "    return row.attempts == 0 or row.cause in (reasons.FROM_BACKUP, reasons.FORGOTTEN)\n",
        "    return False\n",
    ),
    one(
        "a refusal of our sender fails no notice",
        "mail/test_refusals.py::test_an_answer_about_the_account",
        "billing/mail/refusals.py",
        "        return None if of_message else AccountFault.SENDER\n",
        "        return None\n",
    ),
    one(
        "a refused addressee does not stop the mail of all",
        "mail/test_refusals.py::test_an_answer_about_one_message_or_its_recipient",
        "billing/mail/refusals.py",
        "    if _OF_RECIPIENT.match(status) or _SAYS_RECIPIENT.search(text):\n",
        "    if False:\n",
    ),
    one(
        "the list reaches every unknown",
        "cycle/test_observe.py::test_a_list_read_for_the_open_payments_alone_takes_no_earlier_proof_back",
        "billing/cycle/observe.py",
        "oldest_unknown(tx)))\n",
        "oldest_unknown(tx))) if looks else ()\n",
    ),
    one(
        "coverage proof",
        _RECONCILING + "a_list_that_is_cut_off_proves_no_absence",
        "billing/core/reconciling.py",
        "    if not proof.covers(lost):\n",
        "    if False:\n",
    ),
    one(
        "coverage proof: what must be in the list",
        _RECONCILING + "a_short_list_without_what_must_be_in_it_proves_no_absence",
        "billing/core/coverage.py",
        "        if self._lacking:\n            return",
        "        if False:\n            return",
    ),
    one(
        "coverage proof: the list's order",
        "core/test_coverage.py::test_an_order_that_follows_nothing_is_never_believed",
        "billing/core/coverage.py",
        "        return any(order.chain >= CHAIN for order in self.fitting())",
        "        return True",
    ),
    one(
        "coverage proof: what a list lacks",
        _RECONCILING + "a_short_list_without_what_must_be_in_it_proves_no_absence",
        "billing/cycle/observe.py",
        "        proof.missing(missing)\n",
        "        pass\n",
    ),
    Mutant(
        "look before sending again",
        _RECONCILING + "the_list_is_read_again_right_before_something_is_sent_again",
        (
            _NO_FIRST_LOOK,
            (
                "billing/store/remote_checks.py",
                "exists().where(or_(unknown, again))",
                "exists().where(or_(unknown, again & unknown))",
            ),
        ),
    ),
    one(
        "a person's word before resending",
        _RECONCILING + "a_person_s_word_before_resending_is_waited_for_if_so_configured",
        "billing/cycle/reconcile.py",
        '    if ctx.settings.reconcile.when_absent == "park" and row.cause != reasons.OLD_PROOF:\n',
        "    if False:\n",
    ),
    one(
        "a paid duplicate is never deleted",
        _RECONCILING + "a_duplicate_that_was_paid_meanwhile_is_not_deleted",
        "billing/cycle/sweep.py",
        "        if fresh is None or why_keep(fresh, ours, kept, known_paid=False):\n",
        "        if fresh is None:\n",
    ),
    one(
        "the last one is never deleted",
        _RECONCILING + "the_last_one_left_is_never_deleted",
        "billing/cycle/sweep.py",
        "            if current is None and row.state != PaymentState.VOID:\n",
        "            if False:\n",
    ),
    one(
        "no delete after a sleep",
        _RECONCILING + "a_process_that_slept_after_its_look_deletes_nothing",
        "billing/cycle/sweep.py",
        "        if ctx.clock() > look_holds_until:\n",
        "        if False:\n",
    ),
    one(
        "one more look before a person is called",
        _RECONCILING + "a_list_that_shows_what_is_past_calls_nobody",
        "billing/cycle/sweep.py",
        "    if fresh is None or fresh.status is not RemoteStatus.UNPAID:\n        return\n",
        "    assert fresh is not None\n",
    ),
    Mutant(
        "unique keys of a payment",
        _STORE + "a_schedule_that_was_set_back_plans_nothing_twice",
        (
            (
                "billing/store/migrations/versions/0001_the_first_schema.py",
                '        sa.UniqueConstraint("marker", name="uq_payments_marker"),\n',
                "",
            ),
            (
                "billing/store/migrations/versions/0001_the_first_schema.py",
                '        sa.UniqueConstraint("subscription_id", "due_on", name="uq_payments_period"),\n',
                "",
            ),
        ),
    ),
    one(
        "unique key: subscription and due date",
        _STORE + "a_period_has_one_payment_whatever_its_marker",
        "billing/store/migrations/versions/0001_the_first_schema.py",
        '        sa.UniqueConstraint("subscription_id", "due_on", name="uq_payments_period"),\n',
        "",
    ),
    one(
        "unique key: marker",
        _STORE + "a_marker_stands_for_one_payment",
        "billing/store/migrations/versions/0001_the_first_schema.py",
        '        sa.UniqueConstraint("marker", name="uq_payments_marker"),\n',
        "",
    ),
    one(
        "transitions refused by the database",
        _STORE + "an_illegal_transition_is_refused_by_the_database_itself",
        "billing/store/schema_changes.py",
        "f\"OLD.state <> NEW.state AND OLD.state || '>' || NEW.state NOT IN ({listed})\",",
        "f\"FALSE AND OLD.state || '>' || NEW.state NOT IN ({listed})\",",
    ),
    one(
        "dedupe key",
        _STORE + "a_dedupe_key_is_used_once_for_ever",
        "billing/store/migrations/versions/0001_the_first_schema.py",
        '        sa.UniqueConstraint("dedupe_key", name="uq_notices_dedupe_key"),\n',
        "",
    ),
    one(
        "environment check",
        _STORE + "a_database_of_another_environment_or_business_is_refused[live]",
        "billing/store/identity.py",
        "    if row.environment != environment:\n",
        "    if False:\n",
    ),
    one(
        "business check",
        _STORE + "a_database_of_another_environment_or_business_is_refused[business]",
        "billing/store/identity.py",
        "    if row.business_fingerprint != mark:\n",
        "    if False:\n",
    ),
    one(
        "reset, not close",
        _SENDING + "a_connection_is_reset_and_not_left_to_the_kernel",
        "billing/gateway/sockets.py",
        "        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)\n",
        "",
    ),
    one(
        "quiet time in live",
        _SENDING + "a_quiet_time_that_is_too_short_for_live_is_refused",
        "billing/config/load.py",
        "        if quiet < LEAST_LIVE_QUIET_SECONDS:\n",
        "        if False:\n",
    ),
    one(
        "cycle lock on the database",
        _STORE + "a_removed_lock_file_lets_no_second_cycle_in",
        "billing/store/lock.py",
        "            _set_lock(opened.descriptor, fcntl.F_WRLCK)\n",
        "            pass\n",
    ),
    one(
        "cycle lock beside the database",
        _STORE + "a_replaced_database_lets_no_second_cycle_in",
        "billing/store/lock.py",
        "                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "                pass\n",
    ),
    Mutant(
        "restored backup: what it had planned",
        _STORE + "a_database_from_a_backup_looks_before_it_sends_what_it_planned",
        (
            _NO_FIRST_LOOK,
            (
                "billing/lifecycle/restore.py",
                '    unknown = {"state": PaymentState.UNKNOWN.value, "cause": cause,',
                '    unknown = {"state": PaymentState.PLANNED.value, "cause": cause,',
            ),
        ),
    ),
    Mutant(
        "restored backup: what it plans anew",
        _STORE + "a_database_from_a_backup_looks_before_it_sends_what_it_plans_anew",
        (
            ("billing/cycle/plan.py", "    if marker in shown:\n", "    if False:\n"),
            (
                "billing/cycle/plan.py",
                "    elif period.due_on <= uncertain_through:\n",
                "    elif False:\n",
            ),
        ),
    ),
    Mutant(
        "lost database: look before the first attempt",
        _STORE + "a_new_database_looks_for_what_a_lost_one_sent",
        (
            ("billing/cycle/reconcile.py", "    if not markers:\n", "    if True:\n"),
            ("billing/cycle/plan.py", "    if marker in shown:\n", "    if False:\n"),
        ),
    ),
    one(
        "lost database: all is in doubt, not only what is seen",
        _STORE + "a_new_database_looks_for_what_a_lost_one_sent",
        "billing/lifecycle/restore.py",
        "    return tx.execute(update(payments).where(planned).values(**unknown)).rowcount\n",
        "    planned &= payments.c.subscription_id == 1\n"
        "    return tx.execute(update(payments).where(planned).values(**unknown)).rowcount\n",
    ),
)
