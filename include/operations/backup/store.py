"""The folder of backups: written whole or not at all, read only after its sums agree, private to its owner."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final, Self

from include.operations.backup.errors import BackupDamaged, BackupKeyWrong, DiskShort
from include.operations.backup.sealed import CHUNK, SealedWriter, key_id, unseal
from include.operations.backup.settings import BackupSettings
from include.operations.errors import InputRejected
from include.operations.faults import fault_point

MANIFEST: Final = "manifest.json"
SOURCES: Final = {"metadata": "data.dump", "warehouse": "data.dump", "graph": "data.jsonl.gz"}
FORMAT: Final = 1
_NAME: Final = re.compile(rf"({'|'.join(SOURCES)})-\d{{8}}T\d{{6}}Z(-\d+)?")
_MAKING: Final = ".making-"
_ANOTHER: Final = "take another backup: `backup list` shows them"


@dataclass(frozen=True, slots=True)
class Content:
    """Rows and checksum of a table, or of all nodes or relationships."""

    rows: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds. It names tables and counts rows; no value of any row is in it.

    Attributes:
        name: the backup's folder.
        source: metadata, warehouse or graph.
        started_at: when the backup began, ISO-8601 in UTC.
        seconds: how long it took.
        server: the server's version.
        data: name of the data file.
        size_bytes: its size.
        sha256: its digest, of the bytes on disk.
        key_id: which key it is encrypted with; None: it is not.
        rows: what the source held at the moment of the backup, by table.
        extensions: name and version of the database's extensions.
    """

    name: str
    source: str
    started_at: str
    seconds: float
    server: str
    data: str
    size_bytes: int
    sha256: str
    key_id: str | None
    rows: dict[str, Content]
    extensions: dict[str, str]
    format: int = FORMAT

    @property
    def when(self) -> datetime:
        """When the backup began."""
        return datetime.fromisoformat(self.started_at)

    @property
    def total(self) -> int:
        """All rows together."""
        return sum(content.rows for content in self.rows.values())

    def as_json(self) -> str:
        """The text of the manifest's file."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def read(cls, text: str, name: str) -> Self:
        """Read the manifest's file.

        Raises:
            BackupDamaged: it is no manifest, or that of another backup.
        """
        try:
            values = json.loads(text)
            values["rows"] = {table: Content(**content) for table, content in values["rows"].items()}
            found = cls(**{each.name: values[each.name] for each in fields(cls)})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BackupDamaged(f"{name}: its {MANIFEST} cannot be read", what_to_do=_ANOTHER) from error
        if found.name != name or found.data != Path(found.data).name:
            raise BackupDamaged(f"{name}: its {MANIFEST} is of another backup", what_to_do=_ANOTHER)
        if found.format != FORMAT:
            raise BackupDamaged(f"{name}: made by other code (format {found.format})", what_to_do="use that code")
        return found


@dataclass
class Draft:
    """A backup in the making: `write` its data, then say what it holds."""

    name: str
    source: str
    started_at: datetime
    folder: Path
    rows: dict[str, Content] = field(default_factory=dict)
    extensions: dict[str, str] = field(default_factory=dict)
    server: str = ""
    _file: BinaryIO | None = None
    _sealed: SealedWriter | None = None

    def write(self, data: bytes) -> None:
        """Append to the data, encrypted when there is a key."""
        if self._sealed is not None:
            self._sealed.write(data)
        elif self._file is not None:
            self._file.write(data)


class Store:
    """All backups below `settings.folder`."""

    def __init__(self, settings: BackupSettings) -> None:
        self.settings = settings
        self.folder = settings.folder

    # --- writing ----------------------------------------------------------------

    @contextlib.contextmanager
    def making(self, source: str, need_bytes: int, now: datetime | None = None) -> Iterator[Draft]:
        """A new backup, which appears when the block ends and vanishes when it raises.

        Raises:
            DiskShort: less than `need_bytes` and the reserve are free.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check_space(need_bytes)
        begun = now or datetime.now(UTC)
        with _locked(self.folder):
            self._sweep()
            name = self._new_name(source, begun)
            making = self.folder / f"{_MAKING}{name}"
            making.mkdir(mode=0o700)
            # Tells the next one that this is in the making, for as long as this process lives.
            lock = os.open(making, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
        draft = Draft(name, source, begun, making)
        try:
            with _private(making / self._data_name(source)) as file:
                draft._file = file
                draft._sealed = SealedWriter(file, self.settings.key, name) if self.settings.key else None
                yield draft
                if draft._sealed is not None:
                    draft._sealed.finish()
            self._write_manifest(draft, now)
            fault_point("backup.before_rename")
            making.rename(self.folder / name)
            _sync(self.folder)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        finally:
            os.close(lock)

    def _data_name(self, source: str) -> str:
        return SOURCES[source] + (".sealed" if self.settings.key else "")

    def _new_name(self, source: str, begun: datetime) -> str:
        base = f"{source}-{begun:%Y%m%dT%H%M%SZ}"
        taken = {path.name.removeprefix(_MAKING) for path in self.folder.iterdir()}
        return next(name for n in range(1, 10_000) if (name := base if n == 1 else f"{base}-{n}") not in taken)

    def _check_space(self, need_bytes: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < need_bytes + self.settings.min_free_mb * 1e6:
            raise DiskShort(
                f"{free / 1e6:,.0f} MB are free for backups; this one may need {need_bytes / 1e6:,.0f} MB and must "
                f"leave {self.settings.min_free_mb:,.0f} MB",
                what_to_do="free space where BACKUP_DIR is, move it, or lower BACKUP_KEEP_DAYS",
            )

    def _write_manifest(self, draft: Draft, now: datetime | None) -> None:
        data = draft.folder / self._data_name(draft.source)
        manifest = Manifest(
            name=draft.name,
            source=draft.source,
            started_at=draft.started_at.isoformat(),
            seconds=round(((now or datetime.now(UTC)) - draft.started_at).total_seconds(), 3),
            server=draft.server,
            data=data.name,
            size_bytes=data.stat().st_size,
            sha256=_digest(data),
            key_id=key_id(self.settings.key) if self.settings.key else None,
            rows=draft.rows,
            extensions=draft.extensions,
        )
        with _private(draft.folder / MANIFEST) as file:
            file.write(manifest.as_json().encode())
        _sync(draft.folder)

    def _sweep(self) -> None:
        """Remove what killed backups have left; a live one holds its lock."""
        for path in self.folder.glob(f"{_MAKING}*"):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            else:
                shutil.rmtree(path)
            finally:
                os.close(lock)

    # --- reading ----------------------------------------------------------------

    def names(self, source: str | None = None) -> list[str]:
        """Names of all backups, or of one source's, oldest first."""
        if not self.folder.is_dir():
            return []
        found = (path.name for path in self.folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())
        return sorted((name for name in found if source in (None, name.partition("-")[0])), key=_age)

    def manifest(self, name: str) -> Manifest:
        """The manifest of a backup.

        Raises:
            InputRejected: there is no such backup.
            BackupDamaged: its manifest is missing or cannot be used.
        """
        if not _NAME.fullmatch(name) or not (self.folder / name).is_dir():
            raise InputRejected("there is no such backup", what_to_do="name one that `backup list` shows")
        try:
            text = (self.folder / name / MANIFEST).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise BackupDamaged(f"{name}: its {MANIFEST} is missing", what_to_do=_ANOTHER) from error
        return Manifest.read(text, name)

    def manifests(self, source: str | None = None) -> Iterator[Manifest]:
        """The manifests of all backups that have one, newest first."""
        for name in reversed(self.names(source)):
            with contextlib.suppress(BackupDamaged):
                yield self.manifest(name)

    def read(self, manifest: Manifest) -> Iterator[bytes]:
        """The data, decrypted, after size and SHA-256 of the whole file have been compared.

        Raises:
            BackupDamaged: the file is not what was written.
            BackupKeyWrong: it is encrypted and the key is missing or another one.
        """
        key = self._key_for(manifest)
        path = self.folder / manifest.name / manifest.data
        try:
            size = path.stat().st_size
        except FileNotFoundError as error:
            raise BackupDamaged(f"{manifest.name}: {manifest.data} is missing", what_to_do=_ANOTHER) from error
        if size != manifest.size_bytes:
            raise BackupDamaged(
                f"{manifest.name}: {size:,} bytes, there were {manifest.size_bytes:,}", what_to_do=_ANOTHER
            )
        if _digest(path) != manifest.sha256:
            raise BackupDamaged(f"{manifest.name}: its SHA-256 does not agree", what_to_do=_ANOTHER)
        return self._stream(path, manifest, key)

    def _stream(self, path: Path, manifest: Manifest, key: bytes | None) -> Iterator[bytes]:
        with path.open("rb") as file:
            if key is None:
                while chunk := file.read(CHUNK):
                    yield chunk
            else:
                yield from unseal(file, key, manifest.name)

    def _key_for(self, manifest: Manifest) -> bytes | None:
        if manifest.key_id is None:
            return None
        key = self.settings.key
        ours = key_id(key) if key else "no key"
        if key is None or ours != manifest.key_id:
            raise BackupKeyWrong(
                f"{manifest.name} is encrypted with key {manifest.key_id}, here is {ours}",
                what_to_do="set BACKUP_KEY or BACKUP_KEY_FILE to the key it was made with",
            )
        return key

    # --- removing ---------------------------------------------------------------

    def expire(self, good: set[str], now: datetime | None = None) -> list[str]:
        """Remove backups that are older than `keep_days`; returns their names.

        The newest one of each source that is in `good` (was checked) stays, however old: when backups have failed
        for a month, the last that worked is worth the most. Until one is good, all stay.
        """
        limit = (now or datetime.now(UTC)) - timedelta(days=self.settings.keep_days)
        gone = []
        for source in SOURCES:
            names = self.names(source)
            kept = max((n for n, name in enumerate(names) if name in good), default=0)
            for name in names[:kept]:
                if datetime.strptime(name.split("-")[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) < limit:
                    # Renamed first: half of a removed backup must not look like one.
                    doomed = self.folder / f"{_MAKING}{name}"
                    (self.folder / name).rename(doomed)
                    shutil.rmtree(doomed)
                    gone.append(name)
        return gone


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel frees it when its holder dies."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _age(name: str) -> tuple[str, int]:
    _, stamp, *number = name.split("-")
    return stamp, int(number[0]) if number else 1


@contextlib.contextmanager
def _private(path: Path) -> Iterator[BinaryIO]:
    """A new file that only its owner can read; on disk when the block ends."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb", buffering=CHUNK) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
