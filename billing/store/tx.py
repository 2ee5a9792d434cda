"""The transaction that is handed around, so that nobody above needs SQLAlchemy to name it."""

from sqlalchemy import Connection as Tx

__all__ = ["Tx"]
