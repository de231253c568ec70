"""The demo's data have the shape of real mail, and its summary can be read."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import pytest

from include.organism import roster
from include.organism.event_files import read_rows
from include.organism.messages import InvalidMessageError, Limits, Parser
from local import demo, demo_data
from local.demo import Line
from local.demo_figures import Totals

PEOPLE = demo_data.organisation()
EVENTS = list(demo_data.interactions(20_000))
LIMITS = Limits(earliest_ms=0, latest_ms=(demo_data.END + demo_data.DAY) * 1000)


def parse(event: dict[str, str]) -> object:
    return Parser(LIMITS).parse([word.encode() for pair in event.items() for word in pair])


def test_same_seed_same_data() -> None:
    assert list(demo_data.interactions(500)) == list(demo_data.interactions(500))
    assert list(demo_data.interactions(500, seed=8)) != list(demo_data.interactions(500))


def test_organisation_is_a_tree_of_about_200_people() -> None:
    assert 190 <= len(PEOPLE) <= 210
    assert len({p.id for p in PEOPLE}) == len({p.name for p in PEOPLE}) == len(PEOPLE)
    manager = {p.id: p.manager_id for p in PEOPLE}
    for chief in manager.values():
        steps = 0
        while chief:
            chief, steps = manager[chief], steps + 1
            assert steps < 5
    assert {p.id for p in PEOPLE if p.is_manager} >= {m for m in manager.values() if m}


def test_every_good_event_is_valid_and_has_an_id_of_its_own() -> None:
    for event in EVENTS[:2000]:
        parse(event)
    assert len({event["id"] for event in EVENTS}) == len(EVENTS)
    times = [int(event["timestamp"]) for event in EVENTS]
    assert times == sorted(times)
    assert times[0] >= demo_data.END - 150 * demo_data.DAY
    assert demo_data.END - 4 * demo_data.DAY <= times[-1] <= demo_data.END


def test_shape_is_that_of_real_mail() -> None:
    sent: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for event in EVENTS:
        targets = json.loads(event["target"]) if event["target"].startswith("[") else [event["target"]]
        for target in targets:
            sent[event["source"]] += 1
            pairs[event["source"], target] += 1
    busiest = sorted(sent.values(), reverse=True)
    team = {p.id: p.team for p in PEOPLE}
    assert 0.60 <= sum((b, a) in pairs for a, b in pairs) / len(pairs) <= 0.80, "reciprocal pairs"
    assert sum(busiest[: len(busiest) // 10]) / sum(busiest) >= 0.35, "a tenth sends much of all"
    assert busiest[0] > 10 * median(busiest)
    assert sum(n for (a, b), n in pairs.items() if team[a] == team[b]) / sum(pairs.values()) >= 0.6
    assert sum(n == 1 for n in pairs.values()) / len(pairs) >= 0.2, "many meet once"
    moments = [datetime.fromtimestamp(int(event["timestamp"]), UTC) for event in EVENTS]
    assert sum(m.weekday() < 5 for m in moments) / len(moments) > 0.9
    assert sum(6 <= m.hour < 19 for m in moments) / len(moments) > 0.85
    gaps = [(after - before).total_seconds() for before, after in pairwise(moments)]
    assert median(gaps) < sum(gaps) / len(gaps) / 2, "bursts"


def test_broken_events_are_refused_for_different_reasons_or_skipped() -> None:
    codes: Counter[str] = Counter()
    for event in demo_data.broken():
        try:
            parse(event)
        except InvalidMessageError as error:
            codes[error.code] += 1
    assert len(codes) >= 8
    assert sum(codes.values()) >= 28
    assert len(demo_data.broken()) - sum(codes.values()) == 6, (
        "SYSTEM, nobody and self loops are valid, and skipped later"
    )


def test_files_are_what_the_pipelines_read(tmp_path: Path) -> None:
    people, events = demo_data.write(tmp_path, count=1000)
    read = roster.parse(people.read_text())
    assert len(read.people) == len(PEOPLE)
    assert not read.refusals
    with events.open("rb") as file:
        rows = list(read_rows(file))
    assert len(rows) == 1000 + len(demo_data.broken())
    assert not [row for row in rows if row.problem]


def test_nothing_generated_belongs_to_a_real_person() -> None:
    assert not re.search(r"@|\d{4}", " ".join(p.name for p in PEOPLE))


def test_summary_is_aligned_text() -> None:
    shown = demo._table([Line("a_dag", "success", 50_035, 59_401, 22.24, "there"), Line("b", "skipped", where="why")])
    assert shown.splitlines()[1:] == [
        "  pipeline  state    rows in  rows out  seconds  where to look",
        "  --------  -------  -------  --------  -------  -------------",
        "  a_dag     success   50,035    59,401     22.2  there",
        "  b         skipped        -         -        -  why",
    ]


def test_missing_file_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(demo.DemoError, match="is not a file"):
        demo.demo(tmp_path, {"DATA": str(tmp_path / "missing")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "it has no rows"),
        ("not an event file\nat all\n", "cannot be used"),
        ('{"source": "a", \n', "no row can be read | line 1: "),
    ],
)
def test_an_unusable_file_is_told_in_one_line_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, said: str
) -> None:
    monkeypatch.setattr(demo.commands, "start_or_attach", lambda _: pytest.fail("started"))
    (tmp_path / "it's mine.txt").write_text(content)
    with pytest.raises(demo.DemoError, match=re.escape(said)) as raised:
        demo.demo(tmp_path, {"DATA": str(tmp_path / "it's mine.txt")})
    assert "\n" not in str(raised.value)


def test_dead_letters_are_those_of_this_demo() -> None:
    assert demo._dead_letters(None, ends=False) == ""
    assert demo._dead_letters(Totals(5, 5, 0), ends=False) == ""
    assert "2 events could not be used" in demo._dead_letters(Totals(5, 3, 2), ends=False)
    assert "not one of 5 events could be used" in demo._dead_letters(Totals(5, 0, 5), ends=True)
    assert "`make up`, then " in demo._dead_letters(Totals(5, 0, 5), ends=True)
    assert not Totals(0, 0, 0).all_dead, "the same file again: everything is in already"


@pytest.mark.parametrize(
    ("once", "started", "totals", "code"),
    [
        (True, True, Totals(5, 3, 2), 0),
        (True, True, Totals(5, 0, 5), 1),
        (True, False, Totals(5, 5, 0), 0),
    ],
)
def test_what_is_stopped_is_not_offered(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    once: bool,
    started: bool,
    totals: Totals,
    code: int,
) -> None:
    class Started:
        def stop(self) -> None:
            sys.stdout.write("STOPPED\n")

    def run(self: demo.Demo) -> list[Line]:
        self.totals = totals
        return [Line("a", "success", where="http://there")]

    monkeypatch.setattr(demo.commands, "start_or_attach", lambda _: (Started() if started else None, "ready"))
    monkeypatch.setattr(demo.Demo, "run", run)
    monkeypatch.setattr(demo, "os", SimpleNamespace(environ={}))
    assert demo.demo(tmp_path, {"ONCE": "1"} if once else {}) == code
    before, _, after = capsys.readouterr().out.partition("STOPPED")
    if started:
        assert "look around" not in before
        assert "where to look, after `make up`" in before
        assert "`make up` brings it back" in after
        assert "make down" not in after
    else:
        assert "look around" in before
        assert "make down" in before


def test_a_sync_puts_out_the_rows_it_stored_not_the_records_that_were_merged() -> None:
    extracted = {"read": 120, "counts": {"inserted": 118, "merged": 2}}
    ended = {"read": 120, "stored": 118, "caches": 0, "inserted": 118, "merged": 2}
    results = {"extract": extracted, "invalidate_caches": ended}
    api = SimpleNamespace(
        task_instances=lambda _run: [SimpleNamespace(task_id=name, map_index=-1) for name in results],
        xcom=lambda _run, task_id, **_: results[task_id],
    )
    assert demo._rows(api, SimpleNamespace()) == (120, 118)  # type: ignore[arg-type]
