"""An attacker who knows who was in every published number learns nothing about fewer than k people."""

import itertools
import random

import numpy as np
import pytest

from include.organism.metric_store.cohorts import EVERYONE, WHOLE, Group, Past, choose, nearest, size

K = 5


def mask(people):
    return sum(1 << person for person in people)


def draw(members, count, attempt):
    people = [bit for bit in range(members.bit_length()) if members >> bit & 1]
    random.Random(f"{members}|{attempt}").shuffle(people)
    return mask(people[:count])


def groups_of(teams, managers=frozenset()):
    """Groups of an organisation given as team name to people; the name "" holds those without a team."""
    whole = set().union(*teams.values())
    return [
        *(Group((team, EVERYONE), mask(people)) for team, people in teams.items() if team),
        Group((WHOLE, EVERYONE), mask(whole)),
        Group((WHOLE, "managers"), mask(whole & managers)),
        Group((WHOLE, "others"), mask(whole - managers)),
    ]


def publish(teams, past=None, managers=frozenset(), k=K):
    """Label to cohort, and label to reason; `past` is brought up to date."""
    past = past or Past([], {})
    groups = groups_of(teams, managers)
    everybody = next(group.members for group in groups if group.label == (WHOLE, EVERYONE))
    choices, unions = choose(groups, past, everybody, k, draw)
    shown = {choice.group.label: choice.cohort for choice in choices if choice.cohort is not None}
    past.cohorts.extend({*shown.values(), *unions} - set(past.cohorts))
    past.latest.update(shown)
    return shown, {choice.group.label: choice.reason for choice in choices if choice.reason}


def staff(**sizes):
    numbers = itertools.count()
    return {team.strip("_"): {next(numbers) for _ in range(count)} for team, count in sizes.items()}


def test_groups_of_at_least_k_are_shown_and_smaller_ones_are_not():
    shown, hidden = publish(staff(a=5, b=12, c=4, d=4))
    assert {label[0]: size(cohort) for label, cohort in shown.items() if label[1] == EVERYONE} == {
        "a": 5,
        "b": 12,
        "": 25,
    }
    assert hidden[("c", EVERYONE)] == "too_few"


def test_the_whole_leaves_out_a_team_that_could_be_worked_out_from_it():
    shown, _ = publish(staff(a=20, b=15, c=8, d=3))
    assert size(shown[WHOLE, EVERYONE]) == 43
    teams = [cohort for label, cohort in shown.items() if label[0]]
    assert len(teams) == 3


def test_people_without_a_team_are_not_the_difference():
    shown, _ = publish(staff(a=20, __=2))
    assert shown[WHOLE, EVERYONE] == shown["a", EVERYONE]


def test_nothing_changed_so_nothing_changes():
    teams, past = staff(a=20, b=15, c=8), Past([], {})
    first, _ = publish(teams, past)
    remembered = len(past.cohorts)
    assert publish(teams, past)[0] == first
    assert len(past.cohorts) == remembered


def test_a_joiner_waits_until_k_have_changed():
    teams, past = staff(a=20, b=15), Past([], {})
    first, _ = publish(teams, past)
    for newcomer in range(100, 104):
        teams["a"].add(newcomer)
        assert publish(teams, past)[0] == first
    teams["a"].add(104)
    shown, _ = publish(teams, past)
    assert (size(shown["a", EVERYONE]), size(shown[WHOLE, EVERYONE])) == (25, 40)


def test_a_leaver_hides_among_k():
    teams, past = staff(a=20, b=15), Past([], {})
    first, _ = publish(teams, past)
    teams["a"].pop()
    shown, _ = publish(teams, past)
    assert shown["b", EVERYONE] == first["b", EVERYONE]
    assert size(shown["a", EVERYONE]) == 15
    assert size(shown[WHOLE, EVERYONE]) == 30


def test_a_leaver_hides_a_team_that_is_too_small_to_hide_in():
    teams, past = staff(a=20, b=15, c=8), Past([], {})
    publish(teams, past)
    teams["c"].pop()
    shown, hidden = publish(teams, past)
    assert hidden["c", EVERYONE] == "differs_too_little"
    assert size(shown[WHOLE, EVERYONE]) == 35


def test_a_mover_is_counted_where_they_were():
    teams, past = staff(a=20, b=15), Past([], {})
    first, _ = publish(teams, past)
    teams["b"].add(teams["a"].pop())
    assert publish(teams, past)[0] == first


def test_audiences_cannot_be_combined_with_teams():
    # Managers are the teams a and d, and two people of b: managers minus both teams would be the two.
    teams = staff(a=8, b=11, c=20, d=7)
    two = set(sorted(teams["b"])[:2])
    shown, _ = publish(teams, managers=frozenset(teams["a"] | teams["d"] | two))
    blocks = [cohort for label, cohort in shown.items() if label[0]]
    assert len(blocks) == 4
    for audience in ("managers", "others"):
        if cohort := shown.get((WHOLE, audience)):
            assert nearest(cohort, blocks, shown[WHOLE, EVERYONE]) >= K
    assert shown.get((WHOLE, "managers")) != mask(teams["a"] | teams["d"] | two)


def test_the_closed_form_is_what_linear_algebra_says():
    rng = random.Random(4)
    for _ in range(60):
        people = 9
        team_of = [rng.randrange(3) for _ in range(people)]
        teams = [mask(p for p in range(people) if team_of[p] == team) for team in range(2)]
        whole = mask(range(people)) if rng.random() < 0.7 else None
        cohort = mask(p for p in range(people) if rng.random() < 0.4)
        rows = np.array([[m >> p & 1 for p in range(people)] for m in (*teams, *([whole] if whole else []), cohort)])
        base = np.linalg.matrix_rank(rows[:-1])
        if np.linalg.matrix_rank(rows) == base:
            assert nearest(cohort, teams, whole) == 0
            continue
        # The cohort tells about the people of `gone` alone if without them it follows from the others.
        fewest = next(
            count
            for count in range(1, people + 1)
            if any(
                np.linalg.matrix_rank(np.delete(rows, gone, 1)) == np.linalg.matrix_rank(np.delete(rows[:-1], gone, 1))
                for gone in itertools.combinations(range(people), count)
            )
        )
        assert nearest(cohort, teams, whole) == fewest


class Attacker:
    """Knows who was in which number, subtracts any two, and all teams or audiences of any run from any number."""

    def __init__(self):
        self.known = {0: "nobody"}

    def see(self, run, shown):
        for label, cohort in shown.items():
            self.known.setdefault(cohort, f"{label} of run {run}")
        for what, part in (
            ("teams", [cohort for label, cohort in shown.items() if label[0]]),
            ("audiences", [cohort for label, cohort in shown.items() if not label[0] and label[1] != EVERYONE]),
        ):
            total = 0
            for cohort in part:
                assert not total & cohort, f"{what} of run {run} overlap: their sum minus the whole is a person"
                total |= cohort
            self.known.setdefault(total, f"all {what} of run {run}")

    def finds(self, k):
        return [
            (self.known[one], self.known[other])
            for one, other in itertools.combinations(self.known, 2)
            if 0 < (one ^ other).bit_count() < k
        ]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("k", [5, 10])
def test_no_two_published_numbers_tell_about_fewer_than_k_people(seed, k):
    rng = random.Random(seed)
    teams = {f"t{n}": set() for n in range(rng.randint(2, 7))} | {"": set()}
    people = itertools.count()
    for _ in range(rng.randint(30, 120)):
        rng.choice(list(teams.values())).add(next(people))
    managers = frozenset(person for person in range(400) if rng.random() < 0.15)
    past, attacker, numbers = Past([], {}), Attacker(), 0
    for run in range(60):
        for _ in range(rng.choice((0, 0, 1, 1, 2, 6))):
            name = rng.choice(list(teams))
            event = rng.random()
            if event < 0.4 or not teams[name]:
                teams[name].add(next(people))
            elif event < 0.7:
                teams[name].discard(rng.choice(sorted(teams[name])))
            else:
                person = rng.choice(sorted(teams[name]))
                teams[name].discard(person)
                teams[rng.choice(list(teams))].add(person)
        shown, _ = publish({name: set(members) for name, members in teams.items()}, past, managers, k)
        attacker.see(run, shown)
        numbers += len(shown)
    assert attacker.finds(k) == []
    # It is easy to be safe by saying nothing.
    assert numbers >= 60


def test_the_attacker_would_find_a_rule_that_only_counts_heads():
    teams, attacker = staff(a=20, b=15, c=3), Attacker()
    for run in range(2):
        attacker.see(run, {group.label: group.members for group in groups_of(teams) if size(group.members) >= K})
        teams["a"].pop()
    assert attacker.finds(K)
