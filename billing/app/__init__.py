"""Puts the parts together; the only layer that constructs them."""
