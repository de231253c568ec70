"""The command line starts at once: what is heavy is imported by the command that needs it."""

import subprocess
import sys

HEAVY = {"airflow", "neo4j", "redis", "psycopg", "sqlalchemy", "alembic", "pandas", "numpy", "httpx", "rich.progress"}


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['cli', '--help']\n"
        "from include.cli.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('modules', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "interactions" in done.stdout
    loaded = done.stdout.rpartition("modules")[2].split()
    assert sorted(HEAVY & set(loaded)) == []


def test_every_command_has_a_help_text(cli):
    for group, commands in {
        "interactions": ["publish", "lag"],
        "deadletter": ["list", "replay", "discard"],
        "dags": ["list"],
        "warehouse": ["upgrade", "current"],
    }.items():
        for command in commands:
            done = cli(group, command, "--help")
            assert done.code == 0
            assert "Usage" in done.out
