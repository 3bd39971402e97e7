"""Makes the triggers of escrows and milestones. What a state may become is generated from the tables."""

from __future__ import annotations

from typing import Any

import pgtrigger

from core.states import TransitionTable


def follows_the_table(name: str, table: TransitionTable[Any, Any, Any]) -> pgtrigger.FSM:
    """Returns the trigger that refuses every change of `state` that the table has no row for."""
    pairs = sorted({(str(row.source), str(row.target)) for row in table.rows if row.source != row.target})
    return pgtrigger.FSM(name=name, field="state", transitions=pairs, condition=pgtrigger.AnyChange("state"))


def begins_as(name: str, state: str) -> pgtrigger.Protect:
    """Returns the trigger that refuses a new row in another state."""
    return pgtrigger.Protect(name=name, operation=pgtrigger.Insert, condition=~pgtrigger.Q(new__state=state))


def append_only(name: str) -> pgtrigger.Protect:
    return pgtrigger.Protect(name=name, operation=pgtrigger.Update | pgtrigger.Delete)


def changed(field: str) -> pgtrigger.Q:
    return pgtrigger.Q(**{f"old__{field}__df": pgtrigger.F(f"new__{field}")})


def fixed_once_set(name: str, field: str) -> pgtrigger.Protect:
    """Returns the trigger that refuses another value of a column that has one."""
    was_set = pgtrigger.Q(**{f"old__{field}__isnull": False})
    return pgtrigger.Protect(name=name, operation=pgtrigger.Update, condition=was_set & changed(field))


def never_less(name: str, *fields: str) -> pgtrigger.Protect:
    """Returns the trigger that refuses a smaller amount."""
    condition = pgtrigger.Q()
    for field in fields:
        condition |= pgtrigger.Q(**{f"new__{field}__lt": pgtrigger.F(f"old__{field}")})
    return pgtrigger.Protect(name=name, operation=pgtrigger.Update, condition=condition)
