"""`make new-object`: a module that is a sync as it stands, and never over one that is there."""

import pytest

from include.vms import objects as package
from include.vms import registry, scaffold


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(scaffold, "OBJECTS", tmp_path)
    monkeypatch.setattr(package, "__path__", [str(tmp_path)])
    registry.objects.cache_clear()
    yield tmp_path
    registry.objects.cache_clear()


@pytest.mark.parametrize(
    ("name", "table"),
    [("pathways", "pathway"), ("histories", "history"), ("passes", "pass"), ("boxes", "box"), ("staff", "staff")],
)
def test_the_new_module_is_a_sync(folder, capsys, name, table):
    assert scaffold.main([name, "Pathway__c"]) == 0
    made = registry.get(name)
    assert (made.sobject, made.table.name, made.select[-1]) == ("Pathway__c", table, "Name")
    assert f"make object-migration NAME={name}" in capsys.readouterr().out


def test_what_is_there_stays(folder, capsys):
    (folder / "pathways.py").write_text("mine")
    assert scaffold.main(["pathways", "Pathway__c"]) == 1
    assert (folder / "pathways.py").read_text() == "mine"
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "sobject"),
    [
        ("Pathways", "Pathway__c"),
        ("../../evil", "Pathway__c"),
        ("a-b", "Pathway__c"),
        ("", ""),
        ("pathways", 'Pathway__c"; import os'),
        ("pathways", "1"),
    ],
)
def test_names_that_cannot_be_are_refused_in_one_line(folder, capsys, name, sobject):
    assert scaffold.main([name, sobject]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert list(folder.iterdir()) == []
