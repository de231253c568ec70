"""Pseudonyms: the same for the same key, and nobody's without it."""

import base64

import pytest

from include.operations.errors import InputRejected
from include.organism import people_file, roster
from include.organism.messages import Limits, Parser
from include.organism.privacy.graph import LeftOut
from include.organism.privacy.groups import minimum_group
from include.organism.privacy.incoming import admit_roster
from include.organism.privacy.pseudonym import Pseudonyms

KEY = bytes(range(32))
TEXT = base64.b64encode(KEY).decode()
NAMES = Pseudonyms(KEY)


def test_a_pseudonym_depends_on_key_and_person():
    names = {
        Pseudonyms(key).of(person) for key in (KEY, bytes(32)) for person in ("ann", "bob", "Ann", "p", NAMES.of("ann"))
    }
    assert len(names) == 10
    assert NAMES.of("ann") == Pseudonyms(KEY).of("ann")
    assert all(name.startswith("p") and name.isalnum() and len(name) == 27 for name in names)


def test_without_a_key_people_are_called_what_producers_call_them():
    assert Pseudonyms.from_env({}).of("ann") == "ann"
    assert (Pseudonyms().fingerprint, Pseudonyms().are_made) == ("", False)


def test_the_key_comes_from_a_variable_or_a_file(tmp_path):
    file = tmp_path / "key"
    file.write_text(f"{TEXT}\n")
    for given in ({"ORGANISM_PSEUDONYM_KEY": TEXT}, {"ORGANISM_PSEUDONYM_KEY_FILE": str(file)}):
        assert Pseudonyms.from_env(given).of("ann") == NAMES.of("ann")


@pytest.mark.parametrize(
    "given",
    [{"ORGANISM_PSEUDONYM_KEY": "secret"}, {"ORGANISM_PSEUDONYM_KEY_FILE": "/does/not/exist"}],
)
def test_a_key_that_is_none_is_refused_without_being_told(given):
    with pytest.raises(InputRejected, match="ORGANISM_PSEUDONYM_KEY") as caught:
        Pseudonyms.from_env(given)
    assert "secret" not in str(caught.value)


def test_a_fingerprint_and_a_tombstone_are_nobodys_name():
    assert len({NAMES.fingerprint, NAMES.tombstone("ann"), NAMES.of("ann"), Pseudonyms(bytes(32)).fingerprint}) == 4


def test_the_stream_names_people_by_pseudonyms_but_not_the_system():
    parser = Parser(Limits(0, 10**15), NAMES)

    def parse(source, target):
        fields = {"id": "1", "source": source, "target": target, "type": "x", "timestamp": "1"}
        return parser.parse([word.encode() for pair in fields.items() for word in pair])

    for _ in range(2):
        assert parse("ann", '["bob", "ann"]')[1:3] == (NAMES.of("ann"), (NAMES.of("bob"), NAMES.of("ann")))
        assert parse("SYSTEM", "bob")[1:3] == ("SYSTEM", (NAMES.of("bob"),))


def test_a_roster_has_pseudonyms_and_no_names():
    given = roster.parse("id,name,team,manager\nann,Ann Lee,red,bob\nbob,Bob,red,\n", people_file.Format.CSV)
    admitted = admit_roster(given, NAMES, LeftOut(frozenset(), frozenset(), NAMES))
    ann, bob = admitted.people
    assert (ann.id, ann.manager, ann.values) == (NAMES.of("ann"), NAMES.of("bob"), {"team": "red"})
    assert (bob.id, bob.manager) == (NAMES.of("bob"), None)
    assert admitted.ids == {NAMES.of("ann"), NAMES.of("bob")}
    plain = admit_roster(given, Pseudonyms(), LeftOut(frozenset(), frozenset(), Pseudonyms()))
    assert plain.people == given.people


def test_a_roster_cannot_bring_an_erased_person_back():
    given = roster.parse("id,team\nann,red\nbob,red\n", people_file.Format.CSV)
    erased = LeftOut(frozenset(), frozenset({NAMES.tombstone(NAMES.of("ann"))}), NAMES)
    admitted = admit_roster(given, NAMES, erased)
    assert [person.id for person in admitted.people] == [NAMES.of("bob")]
    assert [(refusal.row, refusal.code) for refusal in admitted.refusals] == [(2, "erased")]
    assert "ann" not in admitted.refusals[0].reason


def test_left_out_are_absent_and_erased_people():
    left_out = LeftOut(frozenset({"ann"}), frozenset({Pseudonyms().tombstone("bob")}), Pseudonyms())
    assert [person in left_out for person in ("ann", "bob", "cid", "ann", "bob", "cid")] == [True, True, False] * 2
    assert left_out
    assert not LeftOut(frozenset(), frozenset(), Pseudonyms())


def test_minimum_groups_have_a_floor():
    assert (minimum_group("strength", {}), minimum_group("burnout_score", {})) == (5, 10)
    assert minimum_group("burnout_score", {"ORGANISM_MIN_GROUP_BURNOUT": "5"}) == 5
    for text in ("4", "0", "-7", "five", "5.5"):
        with pytest.raises(InputRejected, match="5 upwards"):
            minimum_group("strength", {"ORGANISM_MIN_GROUP": text})
