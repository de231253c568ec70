"""docker-compose.yaml as far as it can be checked without a container engine."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest
import yaml

from tests.unit.packaging.files import ROOT, env_example

FILE = ROOT / "docker-compose.yaml"
TEXT = FILE.read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
ONE_SHOT = {"init"}
LONG_RUNNING = sorted(set(SERVICES) - ONE_SHOT)
AIRFLOW = {"init", "api-server", "scheduler", "dag-processor", "triggerer"}
# What makes a name a secret.
SECRET = re.compile(r"PASSWORD|SECRET|FERNET|AUTH$|TOKEN")


def environment(name):
    return SERVICES[name].get("environment", {})


def test_schema():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_services():
    assert set(SERVICES) == AIRFLOW | {"metadata", "warehouse", "redis", "neo4j"}


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
    for line in ("airflow db migrate", "python -m include.cli warehouse upgrade"):
        assert line in script


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

    assert start(lambda name: name.lower() + "x" * 64) == (0, [])
    code, found = start(lambda name: "warehouse" if name == "WAREHOUSE_DB_PASSWORD" else name.lower() + "x" * 64)
    assert (code, found) == (1, ["the password of warehouse is the user's name"])


def test_only_those_who_run_tasks_know_the_data_servers():
    assert not [key for key in environment("api-server") if key.startswith("AIRFLOW_CONN_")]
    connections = {key for key in environment("scheduler") if key.startswith("AIRFLOW_CONN_")}
    alerts = {"AIRFLOW_CONN_SLACK_ALERTS", "AIRFLOW_CONN_SMTP_ALERTS", "AIRFLOW_CONN_SENTRY"}
    ids = ("ORGANISM_REDIS", "ORGANISM_NEO4J", "WAREHOUSE", "AIRFLOW_METADATA")
    assert connections == {f"AIRFLOW_CONN_{each}" for each in ids} | alerts
    assert {environment("scheduler")[name] for name in alerts} == {f"${{{name}:-}}" for name in alerts}, "optional"


@pytest.mark.parametrize(
    ("variable", "kind", "host", "port"),
    [
        ("AIRFLOW_CONN_ORGANISM_REDIS", "redis", "redis", 6379),
        ("AIRFLOW_CONN_ORGANISM_NEO4J", "neo4j", "neo4j", 7687),
        ("AIRFLOW_CONN_WAREHOUSE", "postgres", "warehouse", 5432),
    ],
)
def test_connections_mean_what_they_should(variable, kind, host, port):
    from airflow.sdk import Connection

    url = re.sub(r"\$\{[^}]*\}", "0a1b2c", environment("scheduler")[variable])
    found = Connection.from_uri(url, conn_id="x")
    assert (found.conn_type, found.host, found.port, found.password) == (kind, host, port, "0a1b2c")


def test_the_stream_is_kept():
    command = SERVICES["redis"]["command"][-1]
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_the_metadata_database_is_reached_by_airflow_alone():
    assert COMPOSE["networks"]["control"] == {"internal": True}
    assert SERVICES["metadata"]["networks"] == ["control"]
    assert "ports" not in SERVICES["metadata"]
    assert {name for name in SERVICES if "control" in SERVICES[name]["networks"]} == AIRFLOW | {"metadata"}
