"""The repository's DAG files and the bad examples, parsed twice for all tests here."""

import pytest

from tests.unit.dags.examples import BAD, GOOD, UNSTABLE
from tests.unit.dags.policy import FOLDER, probe


@pytest.fixture(scope="session")
def example_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dags").resolve()
    (folder / "organism").mkdir()
    sources = {name: source for name, (source, _) in BAD.items()} | {"good": GOOD, "unstable": UNSTABLE}
    for name, source in sources.items():
        (folder / "organism" / f"{name}.py").write_text(source.replace('dag_id="d"', f'dag_id="{name}"'))
    return folder


@pytest.fixture(scope="session")
def seen(example_folder):
    return probe(FOLDER, example_folder, seed="0")


@pytest.fixture(scope="session")
def seen_again(example_folder):
    return probe(FOLDER, example_folder, seed="4711")
