"""Columns and constraints that several tables have."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import CheckConstraint, Column, Integer, text
from sqlmodel import AutoString

from billing.core.money import MAX_AMOUNT_MICROS


def one_of(column: str, members: type[StrEnum], name: str) -> CheckConstraint:
    values = ", ".join(f"'{member.value}'" for member in members)
    return CheckConstraint(f"{column} IN ({values})", name=name)


def text_column(name: str) -> Column[str]:
    return Column(name, AutoString, nullable=False, server_default=text("''"))


def number_column(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


AMOUNT_CHECK = f"amount_micros BETWEEN 1 AND {MAX_AMOUNT_MICROS}"
