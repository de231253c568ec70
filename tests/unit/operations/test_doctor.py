"""The checks that need no server."""

import importlib.metadata
import shutil
from types import SimpleNamespace

import pytest

from include.operations import doctor
from include.operations.doctor import Level, installation, rights, secrets
from include.operations.doctor.finding import Finding
from include.operations.doctor.servers import Clocks


def levels(findings):
    return [finding.level for finding in findings]


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on():
    def check():
        yield Finding(Level.OK, "a", "fine")
        raise ConnectionRefusedError(111, "refused")

    first, second = doctor._guarded("a", check)
    assert first.level is Level.OK
    assert (second.level, second.area) == (Level.FAIL, "a")
    assert "NETWORK" in second.found
    assert second.fix


@pytest.mark.parametrize(
    ("environ", "names_make_up"),
    [
        ({"LOCAL_STATE_DIR": "/x"}, True),
        ({"LOCAL_STATE_DIR": "/x", "LOCAL_GIVEN": "AIRFLOW_CONN_WAREHOUSE"}, True),
        ({"LOCAL_STATE_DIR": "/x", "LOCAL_GIVEN": "AIRFLOW_CONN_ORGANISM_REDIS"}, False),
        ({}, False),
    ],
)
def test_an_embedded_server_that_is_down_is_started_by_make_up(monkeypatch, environ, names_make_up):
    for name in ("LOCAL_STATE_DIR", "LOCAL_GIVEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (environ | {"AIRFLOW_CONN_ORGANISM_REDIS": "redis://127.0.0.1:1/0"}).items():
        monkeypatch.setenv(name, value)
    found = doctor.finding.failed("organism_redis", ConnectionRefusedError(111, "refused"))
    assert ("make up" in found.fix) is names_make_up
    assert "make up" not in doctor.finding.failed("organism_redis", ValueError("something else")).fix


def test_everything_but_ok_says_how_to_mend_it():
    with pytest.raises(TypeError):
        doctor.finding.warn("a", "b")
    with pytest.raises(TypeError):
        doctor.finding.fail("a", "b")


# --- installation ---------------------------------------------------------------------


@pytest.fixture
def pins(tmp_path):
    def write(*lines):
        path = tmp_path / "requirements.txt"
        path.write_text("".join(f"{line} \\\n    --hash=sha256:0\n    # via x\n" for line in lines))
        return path

    return write


def installed(name):
    return importlib.metadata.version(name)


def test_packages_as_pinned(pins):
    path = pins(f"redis=={installed('redis')}", "nowhere==1 ; sys_platform == 'win32'")
    assert [*installation.packages(path)] == [Finding(Level.OK, "packages", "1 as pinned in requirements.txt")]


def test_missing_packages_fail_and_other_versions_warn(pins):
    path = pins("no-such-package==1", "redis==0.1", f"neo4j=={installed('neo4j')}")
    missing, other = installation.packages(path)
    assert (missing.level, missing.found) == (Level.FAIL, "missing: no-such-package")
    assert (other.level, other.found) == (Level.WARN, f"not as pinned: redis {installed('redis')} instead of 0.1")


def test_many_wrong_packages_stay_one_line(pins):
    (missing,) = installation.packages(pins(*(f"no-such-package-{n}==1" for n in range(9))))
    assert missing.found.endswith("and 6 more")


def test_the_repositorys_own_pins_are_installed_here():
    assert levels(installation.packages()) == [Level.OK]


def test_python_is_new_enough_here_and_an_old_one_fails(monkeypatch):
    assert levels(installation.python()) == [Level.OK]
    monkeypatch.setattr(installation, "_OLDEST_PYTHON", (99, 0))
    assert levels(installation.python()) == [Level.FAIL]


@pytest.mark.parametrize(("free", "level"), [(0.5, Level.FAIL), (3, Level.WARN), (50, Level.OK)])
def test_free_disk(monkeypatch, free, level, tmp_path):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "not" / "made" / "yet"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free * 1e9))
    found = list(installation.disk())
    assert set(levels(found)) == {level}
    assert f"{free:.1f} GB free" in found[0].found


def test_dags_that_cannot_be_imported_are_named_with_the_reason(tmp_path):
    (tmp_path / "broken.py").write_text("from airflow.sdk import dag\nimport no_such_module\n")
    (finding,) = installation.dags(tmp_path)
    assert finding.level is Level.FAIL
    assert finding.found.startswith("broken.py cannot be imported: ")
    assert "no_such_module" in finding.found


def test_the_repositorys_own_dags_can_be_imported():
    (finding,) = installation.dags()
    assert finding.level is Level.OK


# --- clocks ---------------------------------------------------------------------------


def test_clocks_apart():
    clocks = Clocks(now=lambda: 1000.0)
    clocks.note("Redis", lambda: 1001.0)
    clocks.note("Postgres", lambda: 996.5)
    (finding,) = clocks.findings()
    assert finding.level is Level.OK
    clocks.note("Neo4j", lambda: 995.5)
    (finding,) = clocks.findings()
    assert finding.level is Level.WARN
    assert finding.found == "5.5 s apart: this machine +0.0 s, Redis +1.0 s, Postgres -3.5 s, Neo4j -4.5 s"


def test_a_slow_answer_is_no_skew():
    times = iter([1000.0, 1008.0])
    clocks = Clocks(now=lambda: next(times))
    clocks.note("Redis", lambda: 1004.0)
    assert clocks.ahead["Redis"] == 0


def test_without_servers_there_is_nothing_to_say_about_clocks():
    assert list(Clocks().findings()) == []


# --- rights ---------------------------------------------------------------------------


def test_the_documented_redis_rules_are_those_that_are_tested():
    assert " ".join(rights.REDIS_RULES) in (installation.ROOT / "docs" / "configuration.md").read_text()


# --- secrets --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("login", "password", "why"),
    [
        ("x", None, "empty"),
        ("x", "", "empty"),
        ("warehouse_rw", "Warehouse_RW", "user's name"),
        (None, "changeme", "well-known"),
        ("neo4j", "Password", "well-known"),
        (None, "k3!fWq", "shorter than 12"),
        (None, "k3!fWq92mmZz", ""),
    ],
)
def test_weak_passwords(login, password, why):
    found = secrets.weakness(login, password)
    assert why in found
    assert bool(found) == bool(why)


def connect(monkeypatch, **connections):
    for name in ("ORGANISM_REDIS", "ORGANISM_NEO4J", "WAREHOUSE"):
        monkeypatch.delenv(f"AIRFLOW_CONN_{name}", raising=False)
    for name, uri in connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", uri)


def test_a_weak_password_fails_unless_the_server_is_on_this_machine(monkeypatch):
    connect(
        monkeypatch,
        organism_redis="redis://:redis@127.0.0.1:6379/0",
        organism_neo4j="neo4j://neo4j:neo4j@graph.internal:7687",
        warehouse="postgres://a:long-random-and-unknown@db.internal/x",
    )
    found = list(secrets.check_connections())
    assert [(finding.level, finding.found.split(" of ")[1].split()[0]) for finding in found] == [
        (Level.WARN, "organism_redis"),
        (Level.FAIL, "organism_neo4j"),
    ]
    assert "long-random" not in str(found)


def test_good_passwords_and_no_connections(monkeypatch):
    connect(monkeypatch, warehouse="postgres://a:long-random-and-unknown@db.internal/x")
    assert levels(secrets.check_connections()) == [Level.OK]
    connect(monkeypatch)
    assert list(secrets.check_connections()) == []


@pytest.mark.parametrize(
    ("fernet", "jwt", "wanted"),
    [
        ("", "", [Level.WARN, Level.WARN]),
        ("46BKJoQYlPPOexq0OhDZnIlNepKFf87WFwLbfzqDDho=", "x" * 64, [Level.FAIL]),
        ("k" * 43 + "=", "secret", [Level.FAIL]),
        ("k" * 43 + "=", "x" * 63, [Level.WARN]),
        ("k" * 43 + "=", "x" * 64, [Level.OK]),
    ],
)
def test_airflows_keys(monkeypatch, fernet, jwt, wanted):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", fernet)
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", jwt)
    assert levels(secrets.check_airflow()) == wanted
