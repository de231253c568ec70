"""The dead-man check: from outside Airflow, whether Airflow and its watchdog work. For cron: `doctor --watch`.

It needs nothing but the metadata database and the alert channels, and says so when the first is gone. Whatever is wrong
is one episode: one message, one recovery, remembered in a small file. When all is well it pings an URL, if one is
given; the service behind that tells when the pings stay away, because this machine is dead, too.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from include.operations.errors import classify
from include.operations.log import log_event
from include.operations.watchdog import metadata_checks
from include.operations.watchdog.episodes import OPEN, OVER, Episode, Reading, advance
from include.operations.watchdog.metadata_checks import Metadata
from include.operations.watchdog.thresholds import Threshold, load
from include.operations.watchdog.watch import DAG_ID, recovery, show

if TYPE_CHECKING:
    from include.operations.alerts import Problem
    from include.operations.alerts.message import Message

log = logging.getLogger(__name__)

WELL: Final = 0
BAD: Final = 1
"""Something is wrong; it was told, now or before."""
UNTOLD: Final = 3
"""Something is wrong, and no channel took the message."""
NO_PING: Final = 4
"""All is well, but the heartbeat URL did not answer."""

_CHECK: Final = "dead_man"
_STATEMENT_TIMEOUT: Final = timedelta(seconds=5)
_SEND_S: Final = 8.0
_PING_S: Final = 5.0
_MEMORY: Final = timedelta(days=7)


class Verdict(NamedTuple):
    """What one look from outside has found.

    Attributes:
        code: exit code of the command.
        faults: what is wrong, a line each.
        notes: what could not be done about it, a line each.
    """

    code: int
    faults: tuple[str, ...]
    notes: tuple[str, ...]


def look(state: Path, *, heartbeat_url: str = "", now: datetime | None = None) -> Verdict:
    """Look, tell what is new, remember it, and ping when all is well.

    Args:
        state: the file that remembers the episode; made when it is not there.
        heartbeat_url: asked with GET when all is well; empty: none.
        now: instead of the clocks of this machine and of the database, for tests.
    """
    thresholds, wrong = load()
    faults = list(_faults(thresholds, now))
    moment = now or datetime.now(UTC)
    memory = _Memory(state)
    reading = Reading(_CHECK, "", float(len(faults)), detail=tuple(faults))
    before = {memory.episode.key: memory.episode} if memory.episode else {}
    after = next(iter(advance(before, [reading], {_CHECK}, thresholds, moment)), None)
    notes = [f"{fault.text}; the default holds" for fault in wrong]
    if faults and after is not None and after.state == OPEN and not memory.told:
        memory.told = _tell(_alert(after, thresholds[_CHECK]))
    elif after is not None and after.state == OVER and memory.told and not _tell(_recovered(after, thresholds[_CHECK])):
        notes.append("no alert channel took the recovery")
    memory.episode = None if after is None or after.state == OVER else after
    notes += memory.write()
    if faults:
        untold = after is not None and after.state == OPEN and not memory.told
        notes += ["no alert channel took the message"] if untold else []
        return Verdict(UNTOLD if untold else BAD, tuple(faults), tuple(notes))
    if heartbeat_url and (refusal := _ping(heartbeat_url)):
        return Verdict(NO_PING, (), (*notes, f"the heartbeat URL did not take the ping: {refusal}"))
    return Verdict(WELL, (), tuple(notes))


# --- looking ---------------------------------------------------------------------------------------------------------
def _faults(thresholds: Mapping[str, Threshold], now: datetime | None) -> Iterator[str]:
    from include.operations.metadata import metadata

    try:
        with metadata(statement_timeout=_STATEMENT_TIMEOUT) as connection:
            view = Metadata(connection, now or metadata_checks.clock(connection), thresholds)
            found = [*metadata_checks.components(view), _watchdog(view)]
    except Exception as error:  # noqa: BLE001 - that it does not answer is the worst of what is looked for
        said = classify(error)
        yield f"Airflow's metadata cannot be read: {said.error_class} {said.code}"
        return
    for each in found:
        threshold = thresholds[each.check]
        name = each.subject or "ops_watchdog"
        if each.value is None:
            yield f"{name}: {each.detail[0]}"
        elif threshold.is_bad(each.value):
            silent = show(each.value, threshold.unit)
            extra = f"; {each.detail[0]}" if each.detail else ""
            yield f"{name}: no sign of life for {silent}, allowed are {show(threshold.limit, threshold.unit)}{extra}"


_LAST_ROUND = """
select max(end_date) from dag_run where dag_id = %(dag)s and state = 'success' and run_after >= %(oldest)s
"""
_SINCE = """
select (select min(start_date) from job where job_type = 'SchedulerJob' and state = 'running'),
  (select is_paused from dag where dag_id = %(dag)s and not is_stale)
"""


def _watchdog(view: Metadata) -> Reading:
    """Since when the watchdog is silent; one that never ran, since the scheduler began."""
    ((last,),) = view.rows(_LAST_ROUND, dag=DAG_ID, oldest=view.now - _MEMORY)
    ((scheduler, paused),) = view.rows(_SINCE, dag=DAG_ID)
    begun = last or scheduler
    detail = ("the DAG is not there",) if paused is None else ("the DAG is paused",) if paused else ()
    age = None if begun is None else (view.now - begun) / timedelta(minutes=1)
    return Reading("silent", "", age, detail=detail or (("it has never run",) if begun is None else ()))


# --- telling ---------------------------------------------------------------------------------------------------------
def _problem(episode: Episode, threshold: Threshold) -> Problem:
    from include.operations.alerts import Problem

    return Problem(
        kind=_CHECK,
        title=f"{threshold.title}: {episode.detail[0]}" if episode.detail else threshold.title,
        dag_id=DAG_ID,
        run_id=f"outside {episode.since:%Y-%m-%dT%H:%M}",
        code=_CHECK,
        fingerprint=_CHECK,
        severity=threshold.severity,
        detail=episode.detail,
        impact="No pipeline runs, and nothing else will tell of it.",
        what_to_do=threshold.what_to_do,
        runbook=threshold.runbook,
        since=episode.since,
    ).clean()


def _alert(episode: Episode, threshold: Threshold) -> Message:
    from include.operations.alerts import message
    from include.operations.alerts.settings import Settings

    return message.of_problem(_problem(episode, threshold), None, kind="alert", settings=Settings.from_env())


def _recovered(episode: Episode, threshold: Threshold) -> Message:
    from include.operations.alerts import message
    from include.operations.alerts.message import Facts
    from include.operations.alerts.settings import Settings

    end = episode.ended_at or episode.checked_at
    facts = Facts(number=0, opened_at=episode.since, now=end, occurrences=1, in_24_h=1)
    said = message.of_recovery(
        replace(_problem(episode, threshold), title=threshold.title),
        facts,
        note=recovery(episode, threshold),
        settings=Settings.from_env(),
    )
    return replace(said, title="Airflow works again", meta=("seen from outside",))


def _tell(message: Message) -> bool:
    """Send straight to the channels: the warehouse, which keeps the incidents, may be as dead as Airflow."""
    from include.operations.alerts.channels import open_channels
    from include.operations.alerts.deliver import send
    from include.operations.alerts.outbox import Outgoing
    from include.operations.alerts.settings import Settings

    settings = Settings.from_env()
    try:
        channels = open_channels(settings)
        wanted = [name for name in ("slack", "email") if name in channels]
        number = time.time_ns()
        going = [Outgoing(number, name, message, None, 1, {}, edits=False) for name in wanted]
        return any(each.place is not None for each in send(going, channels, settings, _SEND_S))
    except Exception as error:  # noqa: BLE001 - the exit code says that nobody was told
        log_event(log, "dead_man_not_told", level=logging.ERROR, code=classify(error).code)
        return False


def _ping(url: str) -> str:
    """Ask the URL; returns why it did not answer well, without the URL, which is a secret."""
    import httpx

    try:
        answer = httpx.get(url, timeout=_PING_S, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return type(error).__name__
    return "" if answer.is_success else f"HTTP {answer.status_code}"


# --- remembering -----------------------------------------------------------------------------------------------------
class _Memory:
    """The episode and whether it was told, in a file. One that cannot be read remembers nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.episode: Episode | None = None
        self.told = False
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            self.episode = _episode(kept["episode"]) if kept["episode"] else None
            self.told = bool(kept["told"]) and self.episode is not None
        except (OSError, ValueError, KeyError, TypeError):
            return

    def write(self) -> list[str]:
        """Keep it; returns what went wrong."""
        told = self.told and self.episode is not None
        text = json.dumps({"episode": asdict(self.episode) if self.episode else None, "told": told}, default=_text)
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(text, encoding="utf-8")
            new.replace(self._path)
        except OSError as error:
            return [f"the state file cannot be written ({type(error).__name__}): the message will come again"]
        return []


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _episode(kept: dict[str, Any]) -> Episode:
    for name in ("since", "checked_at", "opened_at", "ended_at"):
        kept[name] = datetime.fromisoformat(kept[name]) if kept[name] else None
    return Episode(**kept | {"detail": tuple(kept["detail"])})
