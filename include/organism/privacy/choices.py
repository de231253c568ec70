"""What people have chosen about their data: `organism.privacy_choice`, by which the warehouse leaves them out.

The graph has the same as flags of the person's node; a roster and the command line set both. Of those who chose to be
erased only a digest is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import psycopg

    from include.organism.roster import Person

# A flag that a roster does not have leaves the choice as it is; an end of a leave that was set stays with the leave.
_FROM_ROSTER: Final = """
insert into organism.privacy_choice as choice (employee_id, opted_out_at, on_leave_from, source)
select employee_id, case when opted_out then now() end, case when on_leave then now() end, 'roster'
from unnest(%s::text[], %s::boolean[], %s::boolean[]) as given (employee_id, opted_out, on_leave)
where opted_out or on_leave
on conflict (employee_id) do nothing
"""
_CHANGE: Final = """
update organism.privacy_choice as choice set
  opted_out_at = case when given.opted_out then coalesce(choice.opted_out_at, now())
    when given.opted_out is null then choice.opted_out_at end,
  on_leave_from = case when given.on_leave then coalesce(choice.on_leave_from, now())
    when given.on_leave is null then choice.on_leave_from end,
  on_leave_until = case when given.on_leave is distinct from false then choice.on_leave_until end,
  source = 'roster', updated_at = now()
from unnest(%s::text[], %s::boolean[], %s::boolean[]) as given (employee_id, opted_out, on_leave)
where choice.employee_id = given.employee_id and (
  (given.opted_out is not null and given.opted_out <> (choice.opted_out_at is not null))
  or (given.on_leave is not null and given.on_leave <> (choice.on_leave_from is not null)))
"""
_ERASED: Final = "select person_digest from organism.privacy_request where kind = 'erase'"
_OPT_OUT: Final = """
insert into organism.privacy_choice as choice (employee_id, opted_out_at, source)
values (%(person)s, case when %(out)s then now() end, 'command')
on conflict (employee_id) do update set
  opted_out_at = case when %(out)s then coalesce(choice.opted_out_at, now()) end, source = 'command', updated_at = now()
"""


def from_roster(connection: psycopg.Connection, people: Iterable[Person]) -> None:
    """Take over what the rows of a roster say about opting out and leave; repeating it changes nothing."""
    said = [person for person in people if {"opted_out", "on_leave"} & person.values.keys()]
    columns = [
        [person.id for person in said],
        [person.values.get("opted_out") for person in said],
        [person.values.get("on_leave") for person in said],
    ]
    connection.execute(_FROM_ROSTER, columns)
    connection.execute(_CHANGE, columns)


def opt_out(connection: psycopg.Connection, person: str, *, out: bool) -> None:
    """Opt a person out, or in again; repeating it changes nothing."""
    connection.execute(_OPT_OUT, {"person": person, "out": out})


def erased(connection: psycopg.Connection) -> frozenset[str]:
    """Tombstones (`Pseudonyms.tombstone`) of the people who were erased."""
    return frozenset(digest for (digest,) in connection.execute(_ERASED))
