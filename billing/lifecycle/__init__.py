"""One verb for each change of state: of a payment, of a subscription, of a notice.

A verb takes `(tx, actor, now, …)`, does the compare-and-set, counts what really moved, writes the event
and queues the notice, all in the caller's transaction. It returns what it changed; a step of the cycle, a
person's command and an application call the same verb and fill their reports from that.
"""
