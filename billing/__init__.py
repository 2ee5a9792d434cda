"""Charges every period of every subscription exactly once through the Mileston payments API."""

__version__ = "0.2.0"
