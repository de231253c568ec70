"""The audit on a real PostgreSQL: what somebody with every right does to it is found."""

import threading
import uuid

import psycopg
import pytest

from include.organism.interventions import audit
from include.organism.interventions.audit import Event, Head

pytestmark = pytest.mark.servers
COUNT = 12


@pytest.fixture
def chain(connection):
    """Twelve entries; texts and figures of every kind."""
    for number in range(COUNT):
        detail = {"number": number, "share": number / 7, "words": 'Zoë "quotes" | \n', "none": None, "deep": {"b": [1]}}
        which = uuid.uuid4() if number % 3 else None
        audit.append(connection, Event.PROPOSED, f"somebody:{number}", which, detail)
        connection.commit()
    return connection


@pytest.fixture
def tamper(database, postgres_server):
    """Run statements as a superuser with all triggers off."""

    def run(*statements):
        url = postgres_server.url_of(database.rpartition("/")[2], "postgres")
        with psycopg.connect(url) as admin:
            admin.execute("set session_replication_role = replica")
            for statement in statements:
                admin.execute(statement)

    return run


def test_a_whole_chain_has_no_faults(chain):
    found = audit.verify(chain)
    assert (found.entries, found.faults) == (COUNT, [])
    assert found.head == audit.head(chain)
    assert found.head.seq == COUNT


def test_nobody_may_change_it(chain):
    for statement in (
        "update organism.intervention_audit set actor = 'me' where seq = 3",
        "delete from organism.intervention_audit where seq = 12",
        "truncate organism.intervention_audit",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            chain.execute(statement)
        chain.rollback()
    assert audit.verify(chain).faults == []


@pytest.mark.parametrize(
    ("statements", "where"),
    [
        (["update organism.intervention_audit set actor = 'me' where seq = 5"], {5}),
        (["update organism.intervention_audit set at = at + interval '1 microsecond' where seq = 1"], {1}),
        (["update organism.intervention_audit set detail = detail || '{\"number\": 99}' where seq = 12"], {12}),
        (["update organism.intervention_audit set intervention_id = null where seq = 2"], {2}),
        (["update organism.intervention_audit set hash = sha256('x') where seq = 6"], {6, 7}),
        (["delete from organism.intervention_audit where seq = 4"], {5}),
        (["delete from organism.intervention_audit where seq = 1"], {2}),
        (["delete from organism.intervention_audit where seq = 12"], {12}),
        (["delete from organism.intervention_audit"], {12}),
        (
            [
                "update organism.intervention_audit set seq = 100 where seq = 8",
                "update organism.intervention_audit set seq = 8 where seq = 9",
                "update organism.intervention_audit set seq = 9 where seq = 100",
            ],
            {8, 9, 10},
        ),
        (
            [
                "insert into organism.intervention_audit select 13, at, null, event, actor, detail, hash, hash from"
                " organism.intervention_audit where seq = 12"
            ],
            {12, 13},
        ),
    ],
)
def test_every_tampering_is_found(chain, tamper, statements, where):
    tamper(*statements)
    assert {fault.seq for fault in audit.verify(chain).faults} == where


def test_a_chain_that_was_rewritten_as_a_whole_is_found_by_a_noted_head(chain, tamper):
    noted = audit.head(chain)
    chain.rollback()
    tamper(
        "truncate organism.intervention_audit",
        "update organism.intervention_audit_head set seq = 0, hash = decode(repeat('00', 32), 'hex')",
    )
    for number in range(COUNT + 1):
        audit.append(chain, Event.PROPOSED, f"rewritten:{number}")
    chain.commit()
    assert audit.verify(chain).faults == []
    assert [fault.seq for fault in audit.verify(chain, noted).faults] == [COUNT]


def test_an_older_noted_head_is_still_in_the_chain(chain):
    noted = audit.head(chain)
    audit.append(chain, Event.EXPIRED, "later")
    assert audit.verify(chain, noted).faults == []


def test_a_failed_transaction_leaves_no_gap(chain):
    audit.append(chain, Event.EXECUTED, "never committed")
    chain.rollback()
    audit.append(chain, Event.EXECUTED, "committed")
    found = audit.verify(chain)
    assert (found.head.seq, found.faults) == (COUNT + 1, [])


def test_writers_at_the_same_time_make_one_chain(database):
    def write(name):
        with psycopg.connect(database) as connection:
            for _ in range(25):
                audit.append(connection, Event.PROPOSED, name)
                connection.commit()

    writers = [threading.Thread(target=write, args=(f"writer {number}",)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with psycopg.connect(database) as connection:
        found = audit.verify(connection)
    assert (found.entries, found.faults) == (100, [])


def test_the_command_says_whole_or_what_is_wrong(cli, chain, tamper):
    chain.commit()
    whole = cli("audit", "verify")
    assert (whole.code, whole.err) == (0, "")
    head = whole.out.rpartition("head ")[2].strip()
    assert Head.parse(head) == audit.head(chain)
    chain.rollback()
    assert cli("audit", "verify", "--head", head).code == 0
    assert cli("audit", "verify", "--head", f"3:{'ab' * 32}").code == 1
    assert cli("audit", "verify", "--head", "nonsense").code == 1
    tamper("update organism.intervention_audit set actor = 'me' where seq = 5")
    broken = cli("audit", "verify")
    assert broken.code == 1
    assert "entry 5" in broken.out
    assert '"faults": 1' in cli("audit", "verify", "--json").out


def test_the_command_shows_one_intervention(cli, chain):
    which = chain.execute("select intervention_id from organism.intervention_audit where seq = 2").fetchone()[0]
    chain.commit()
    shown = cli("audit", "show", which)
    assert len(shown.out.splitlines()) == 2
    assert "somebody:1" in shown.out
    assert cli("audit", "show", "not-an-id").code == 1
