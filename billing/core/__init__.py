"""The rules of billing as pure functions: no I/O, no clock, no randomness."""
