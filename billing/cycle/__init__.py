"""One cycle: recover, reconcile, plan, submit, settle, dun, remind, digest, deliver; a module each."""
