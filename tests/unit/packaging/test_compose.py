"""docker-compose.yaml as far as it can be checked without a container engine."""

import base64
import json
import os
import re
import shlex
import subprocess
import sys

import pytest
import yaml

from include.operations.alerts.channels.registry import CONNECTIONS as CHANNELS
from include.operations.backup.service import CONNECTIONS as BACKED_UP
from include.warehouse.owner import ADMIN
from local.airflow import TUNABLE
from tests.unit.packaging.files import CONFIGURATION, ROOT, constants, env_example

FILE = ROOT / "docker-compose.yaml"
TEXT = FILE.read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
ONE_SHOT = {"init"}
LONG_RUNNING = sorted(set(SERVICES) - ONE_SHOT)
AIRFLOW = {"init", "api-server", "scheduler", "dag-processor", "triggerer"}
# What makes a name a secret.
SECRET = re.compile(r"PASSWORD|SECRET|FERNET|AUTH$|TOKEN|_KEY$")


ALERTS = {"slack_alerts", "smtp_alerts", "sentry"}
# What tasks have; the superuser's is for `init` alone.
ALL = ALERTS | {
    *("organism_redis", "organism_neo4j", "warehouse", "salesforce", "spark", "interventions"),
    *("airflow_metadata", "airflow_metadata_upkeep", "backup_scratch"),
}


def environment(name):
    return SERVICES[name].get("environment", {})


def connections_of(name):
    found = (key for key in environment(name) if key.startswith("AIRFLOW_CONN_"))
    return {key.removeprefix("AIRFLOW_CONN_").lower() for key in found}


def mounted(name):
    """Folders of a service, and the volume of each."""
    pairs = (volume.split(":")[:2] for volume in SERVICES[name]["volumes"])
    return {folder: volume for volume, folder in pairs}


def test_schema():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_services():
    assert set(SERVICES) == AIRFLOW | {"metadata", "warehouse", "scratch", "redis", "neo4j", "watcher"}


@pytest.mark.parametrize("name", SERVICES)
class TestEveryService:
    def test_tag_is_a_fixed_line(self, name):
        image = SERVICES[name]["image"]
        tag = image.rpartition(":")[2]
        assert ":" in image
        assert re.match(r"\d+\.\d+", tag), image
        assert "latest" not in image

    def test_memory_is_limited(self, name):
        assert re.fullmatch(r"\d+[mg]", SERVICES[name]["mem_limit"])

    def test_logs_are_rotated(self, name):
        options = SERVICES[name]["logging"]["options"]
        assert {"max-size", "max-file"} <= set(options)

    def test_ports_are_on_loopback(self, name):
        for port in SERVICES[name].get("ports", []):
            assert port.startswith("127.0.0.1:"), port

    def test_no_new_privileges(self, name):
        assert "no-new-privileges:true" in SERVICES[name]["security_opt"]

    def test_secrets_come_from_outside(self, name):
        for key, value in environment(name).items():
            if SECRET.search(key) and not key.endswith("_FILE"):
                assert "${" in str(value), f"{key} holds a literal"
            # A URL with a password in it, whatever the variable's name.
            for password in re.findall(r"://[^/:@]*:([^@]*)@", str(value)):
                assert password.startswith("${"), f"{key} holds a literal password"

    def test_networks_and_volumes_are_declared(self, name):
        assert set(SERVICES[name]["networks"]) <= set(COMPOSE["networks"])
        for volume in SERVICES[name]["volumes"]:
            assert volume.partition(":")[0] in COMPOSE["volumes"]

    def test_waits_for_services_that_exist_and_can_become_ready(self, name):
        for other, wait in SERVICES[name].get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other]
            else:
                assert wait["condition"] == "service_completed_successfully"
                assert other in ONE_SHOT


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_long_running_services_are_watched_and_restarted(name):
    check = SERVICES[name]["healthcheck"]
    assert {"test", "interval", "timeout", "retries", "start_period"} <= set(check)
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert "stop_grace_period" in SERVICES[name]


def test_the_init_service_ends():
    assert SERVICES["init"]["restart"] == "no"
    script = SERVICES["init"]["command"][-1]
    order = [
        "airflow db migrate",
        # A migration may replace tables, and with them the rights on them.
        "python -m include.cli stats make-reader",
        "python -m include.cli backup make-upkeep",
        "python -m include.cli warehouse make-owner",
        "python -m include.cli warehouse upgrade",
    ]
    assert [line for line in script.splitlines() if line in order] == order


def test_every_command_of_ours_exists():
    from typer.main import get_command

    from include.cli.__main__ import app

    lines = [*SERVICES["init"]["command"][-1].splitlines(), SERVICES["watcher"]["command"][-1]]
    called = [found[1].split() for line in lines if (found := re.search(r"python -m include\.cli ([^;]+)", line))]
    assert len(called) == 6
    for words in called:
        command, rest = get_command(app), list(words)
        while rest and not rest[0].startswith("-"):
            command = command.commands[rest.pop(0)]
        options = {name for parameter in command.params for name in parameter.opts}
        assert set(rest) <= options, words


@pytest.mark.parametrize("name", sorted(AIRFLOW))
def test_airflow_options_exist(name):
    """A misspelt AIRFLOW__ name is ignored in silence by Airflow."""
    from airflow.configuration import conf

    known = conf.configuration_description
    for variable in environment(name):
        if variable.startswith("AIRFLOW__"):
            _, section, option = variable.lower().split("__")
            assert option in known[section]["options"], variable


def test_every_command_of_airflow_exists():
    from airflow.cli.cli_parser import get_parser

    parser = get_parser()
    for name in AIRFLOW - {"init"}:
        program, *arguments = SERVICES[name]["command"]
        assert program == "airflow"
        parser.parse_args(arguments)
    for line in SERVICES["init"]["command"][-1].splitlines():
        if line.startswith("airflow "):
            parser.parse_args(shlex.split(line)[1:])
    for name in ("dag-processor", "triggerer"):
        command = SERVICES[name]["healthcheck"]["test"][1].replace('"$${HOSTNAME}"', "host")
        parser.parse_args(command.split()[1:])


def test_secrets_are_required_and_listed():
    """Compose must stop with the name of what is missing, and .env.example must name all of it."""
    required = set(re.findall(r"\$\{([A-Z_0-9]+):\?", TEXT))
    assert required == set(env_example())
    every = set(re.findall(r"(?<!\$)\$\{([A-Z_0-9]+)", TEXT))
    defaulted = set(re.findall(r"(?<!\$)\$\{([A-Z_0-9]+):-", TEXT))
    assert every == required | defaulted
    assert not [name for name in defaulted if SECRET.search(name)]


def test_the_check_before_the_start_lets_good_secrets_pass_and_stops_a_default_one(tmp_path):
    """`init` runs `doctor --start` with exactly these variables; Compose fills in the secrets."""
    command = SERVICES["init"]["command"][2]
    assert command.splitlines()[0] == "python -m include.cli doctor --start"

    def start(secret):
        def filled(text):
            text = re.sub(r"\$\{[A-Z_0-9]+:-([^}]*)\}", r"\1", str(text))
            return re.sub(r"\$\{([A-Z_0-9]+):\?[^}]*\}", lambda found: secret(found[1]), text)

        env = {name: filled(value) for name, value in environment("init").items()}
        env |= {"AIRFLOW_HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        words = [sys.executable, "-m", "include.cli", "doctor", "--start", "--json"]
        done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        found = json.loads(done.stdout)["findings"]
        return done.returncode, [item["found"] for item in found if item["level"] != "ok"]

    def good(name):
        return base64.b64encode(b"k" * 32).decode() if name == "BACKUP_KEY" else name.lower() + "x" * 64

    assert start(good) == (0, [])
    weak = {"WAREHOUSE_DB_PASSWORD": "warehouse", "METADATA_UPKEEP_PASSWORD": "changeme"}
    code, found = start(lambda name: weak.get(name) or good(name))
    assert code == 1
    assert set(found) == {
        "the password of warehouse is the user's name",
        "the password of airflow_metadata_upkeep is a well-known word",
    }


def test_only_those_who_run_tasks_know_the_data_servers():
    assert not connections_of("api-server")
    assert connections_of("scheduler") == connections_of("dag-processor") == connections_of("triggerer") == ALL
    assert connections_of("init") == ALL | {ADMIN}
    assert connections_of("watcher") == ALERTS | {"airflow_metadata"}
    for name in ALERTS:
        variable = f"AIRFLOW_CONN_{name.upper()}"
        assert environment("scheduler")[variable] == f"${{{variable}:-}}", "optional"


def test_every_connection_of_the_code_is_there():
    """A new pipeline's connection must be given, or the table of connections must call it optional."""
    used = set()
    for file in (ROOT / "include").rglob("*.py"):
        for name, value in constants(file).items():
            if name.endswith(("CONN_ID", "_ADMIN", "ADMIN")) or file == ROOT / "include" / "connections.py":
                used |= {value} if re.fullmatch(r"[a-z][a-z_]+", value) else set()
    used |= set(CHANNELS.values()) | set(BACKED_UP.values())
    assert ALL | {ADMIN} == used
    documented = set(re.findall(r"^\| `(\w+)` \| `AIRFLOW_CONN_", CONFIGURATION, re.MULTILINE))
    assert used <= documented
    # Whoever asks for a connection does so by one of these names.
    literals = re.compile(r"""(?:Connection\.get|warehouse_arguments|Postgres\.of)\(["'](\w+)""")
    found = {name for file in (ROOT / "include").rglob("*.py") for name in literals.findall(file.read_text())}
    assert found <= used


@pytest.mark.parametrize(
    ("variable", "kind", "host", "port"),
    [
        ("AIRFLOW_CONN_ORGANISM_REDIS", "redis", "redis", 6379),
        ("AIRFLOW_CONN_ORGANISM_NEO4J", "neo4j", "neo4j", 7687),
        ("AIRFLOW_CONN_WAREHOUSE", "postgres", "warehouse", 5432),
        ("AIRFLOW_CONN_WAREHOUSE_ADMIN", "postgres", "warehouse", 5432),
        ("AIRFLOW_CONN_AIRFLOW_METADATA", "postgres", "metadata", 5432),
        ("AIRFLOW_CONN_AIRFLOW_METADATA_UPKEEP", "postgres", "metadata", 5432),
        ("AIRFLOW_CONN_BACKUP_SCRATCH", "postgres", "scratch", 5432),
    ],
)
def test_connections_mean_what_they_should(variable, kind, host, port):
    from airflow.sdk import Connection

    url = re.sub(r"\$\{[^}]*\}", "0a1b2c", environment("init")[variable])
    found = Connection.from_uri(url, conn_id="x")
    assert (found.conn_type, found.host, found.port, found.password) == (kind, host, port, "0a1b2c")


@pytest.mark.parametrize("name", ["metadata", "warehouse", "scratch"])
def test_connections_lead_to_databases_that_are_made(name):
    """The image makes one role and one database; `init` makes the others' roles, and needs that one for it."""
    from airflow.sdk import Connection

    made = environment(name)
    variables = {key: value for key, value in environment("init").items() if f"@{name}:" in str(value)}
    addresses = {key: re.sub(r"\$\{[^}]*\}", "x", value) for key, value in variables.items()}
    found = {key: Connection.from_uri(url, conn_id="x") for key, url in addresses.items()}
    assert {each.schema for each in found.values()} == {made["POSTGRES_DB"]}
    (owner,) = [key for key, each in found.items() if each.login == made["POSTGRES_USER"]]
    password = re.compile(r"\$\{(\w+):")
    assert password.search(variables[owner])[1] == password.search(made["POSTGRES_PASSWORD"])[1]
    if name == "warehouse":
        assert owner == f"AIRFLOW_CONN_{ADMIN.upper()}", "tasks are no superuser"


def test_backups_outlive_the_container_and_are_tried_on_a_server_of_their_own():
    assert environment("scheduler")["BACKUP_DIR"] in mounted("scheduler")
    assert SERVICES["scratch"]["networks"] == ["backup"]
    assert COMPOSE["networks"]["backup"] == {"internal": True}
    assert {name for name in SERVICES if "backup" in SERVICES[name]["networks"]} == {"scratch", "scheduler"}
    # What a dump of the warehouse needs, the scratch server must have.
    assert SERVICES["scratch"]["image"] == SERVICES["warehouse"]["image"]


def test_pg_dump_is_not_older_than_the_servers():
    client = int(re.search(r"/pginstall(\d+)/bin", (ROOT / "Dockerfile").read_text())[1])
    servers = [
        int(re.search(r"(?:postgres:|-pg)(\d+)", SERVICES[name]["image"])[1]) for name in ("metadata", "warehouse")
    ]
    assert client >= max(servers)


def test_what_containers_decide_together_lies_on_a_common_volume():
    for name in ("scheduler", "dag-processor", "triggerer"):
        volume = mounted(name)["/usr/local/airflow/state"]
        assert volume == "airflow-state"
        assert environment(name)["ALERT_STATE_DIR"].startswith("/usr/local/airflow/state/")


def test_the_check_from_outside_depends_on_no_airflow():
    watcher = SERVICES["watcher"]
    assert set(watcher["depends_on"]) == {"init"}
    state = environment("watcher")["WATCHDOG_STATE"]
    folder, _, name = state.rpartition("/")
    assert folder in mounted("watcher")
    assert f"find {folder} -name {name} " in watcher["healthcheck"]["test"][1]
    assert set(watcher["networks"]) == {"control", "data"}, "the metadata, and a way out for the alert"
    for variable in environment("watcher"):
        assert not variable.startswith("AIRFLOW__"), "it reads the metadata as the reader alone"


def test_timing_is_that_of_make_up():
    """What is tested end to end by `make up` is what a deployment gets; these differ on purpose."""
    on_purpose = {"PARALLELISM", "SCHEDULER_IDLE_SLEEP_TIME"}
    given = environment("scheduler")
    for variable, value in TUNABLE.items():
        if variable in given and variable.rpartition("__")[2] not in on_purpose:
            assert given[variable].lower() == value.lower(), variable
    image = dict(re.findall(r"^ENV (AIRFLOW__\w+)=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert {
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL",
    } <= (set(image) & set(given))
    for variable, value in image.items():
        assert TUNABLE[variable] == value, variable


def test_the_stream_is_kept():
    command = SERVICES["redis"]["command"][-1]
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_the_metadata_database_is_reached_by_airflow_alone():
    assert COMPOSE["networks"]["control"] == {"internal": True}
    assert SERVICES["metadata"]["networks"] == ["control"]
    assert "ports" not in SERVICES["metadata"]
    assert {name for name in SERVICES if "control" in SERVICES[name]["networks"]} == AIRFLOW | {"metadata", "watcher"}
