"""One cycle: recover, reconcile, plan, submit, settle, dun, remind, deliver; a module each."""
