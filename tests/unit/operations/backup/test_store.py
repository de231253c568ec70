"""A backup appears whole or not at all, and one that was touched is refused."""

import base64
import os
import shutil
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from include.operations.backup import sealed
from include.operations.backup.errors import BackupDamaged, BackupKeyWrong, DiskShort
from include.operations.backup.sealed import CHUNK, key_id
from include.operations.backup.settings import BackupSettings
from include.operations.backup.store import MANIFEST, Content, Store
from include.operations.errors import ErrorClass, InputRejected, classify

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
NOW = datetime(2026, 3, 1, tzinfo=UTC)
ROWS = {"public.t": Content(3, "12")}


@pytest.fixture(params=[None, KEY], ids=["plain", "encrypted"])
def store(request, tmp_path):
    return Store(BackupSettings(tmp_path / "backups", min_free_mb=0, key=request.param))


@pytest.fixture
def sealed_store(tmp_path):
    return Store(BackupSettings(tmp_path / "backups", min_free_mb=0, key=KEY))


def make(store, data=b"data", source="warehouse", now=NOW):
    with store.making(source, 0, now) as draft:
        draft.rows, draft.server = ROWS, "PostgreSQL 18.4"
        draft.write(data)
    return store.manifest(draft.name)


def read(store, manifest):
    return b"".join(store.read(manifest))


def data_file(store, manifest):
    return store.folder / manifest.name / manifest.data


class TestWriting:
    @pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
    def test_what_is_written_is_read(self, store, size):
        data = os.urandom(size)
        assert read(store, make(store, data)) == data

    def test_many_small_writes(self, store):
        with store.making("graph", 0, NOW) as draft:
            for number in range(3000):
                draft.write(bytes([number % 256]) * 1000)
        assert read(store, store.manifest(draft.name)) == b"".join(bytes([n % 256]) * 1000 for n in range(3000))

    def test_manifest_says_what_is_in_it(self, store):
        found = make(store, b"x" * 10)
        assert (found.source, found.rows, found.total, found.when) == ("warehouse", ROWS, 3, NOW)
        assert found.name == "warehouse-20260301T000000Z"
        assert found.key_id == (key_id(KEY) if store.settings.key else None)

    def test_only_the_owner_can_read(self, store):
        old = os.umask(0)
        try:
            found = make(store)
        finally:
            os.umask(old)
        for path in (store.folder, store.folder / found.name):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        for path in (data_file(store, found), store.folder / found.name / MANIFEST):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_encrypted_file_holds_nothing_readable(self, sealed_store):
        found = make(sealed_store, b"anna@example.org" * 1000)
        assert b"anna" not in data_file(sealed_store, found).read_bytes()
        assert b"anna" not in (sealed_store.folder / found.name / MANIFEST).read_bytes()
        assert repr(KEY) not in repr(sealed_store.settings)

    def test_an_error_leaves_nothing(self, store):
        with pytest.raises(TypeError), store.making("warehouse", 0) as draft:
            draft.write("no bytes")
        assert list(store.folder.iterdir()) == []

    def test_two_in_one_second_have_two_names(self, store):
        assert [make(store).name for _ in range(2)] == ["warehouse-20260301T000000Z", "warehouse-20260301T000000Z-2"]
        assert store.names() == ["warehouse-20260301T000000Z", "warehouse-20260301T000000Z-2"]

    def test_two_at_the_same_time(self, store):
        with store.making("warehouse", 0, NOW) as first, store.making("warehouse", 0, NOW) as second:
            first.write(b"1")
            second.write(b"2")
        assert [read(store, store.manifest(name)) for name in (first.name, second.name)] == [b"1", b"2"]

    def test_too_little_space(self, tmp_path):
        free = shutil.disk_usage(tmp_path).free
        store = Store(BackupSettings(tmp_path / "b", min_free_mb=free / 1e6 / 2))
        with pytest.raises(DiskShort, match="must leave") as short, store.making("warehouse", free):
            pass
        assert classify(short.value).error_class is ErrorClass.DATABASE
        assert not classify(short.value).transient
        make(store)


KILLED = """
import sys
from pathlib import Path
from include.operations.backup.settings import BackupSettings
from include.operations.backup.store import Store
with Store(BackupSettings(Path(sys.argv[1]), min_free_mb=0)).making("warehouse", 0) as draft:
    draft.write(b"x" * 3_000_000)
    if sys.argv[2]:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
"""


class TestKilled:
    @pytest.mark.parametrize("where", ["writing", "renaming"])
    def test_killed_backup_is_not_seen_and_its_rest_is_removed(self, store, where):
        make(store)
        env = os.environ | {"FAULT_AT": "backup.before_rename:kill"}
        command = [sys.executable, "-c", KILLED, str(store.folder), "yes" if where == "writing" else ""]
        assert subprocess.run(command, env=env, check=False).returncode == -signal.SIGKILL
        assert len(list(store.folder.iterdir())) == 2
        assert len(store.names()) == 1
        make(store)
        assert len(store.names()) == len(list(store.folder.iterdir())) == 2


class TestDamaged:
    @pytest.mark.parametrize("keep", [0, 1, 20, CHUNK, -1])
    def test_cut_off(self, store, keep):
        found = make(store, os.urandom(2 * CHUNK))
        path = data_file(store, found)
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(BackupDamaged, match="bytes, there were"):
            store.read(found)

    @pytest.mark.parametrize("place", [0, 10, CHUNK + 5, -1])
    def test_one_bit(self, store, place):
        found = make(store, os.urandom(2 * CHUNK))
        path = data_file(store, found)
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)
        with pytest.raises(BackupDamaged, match="SHA-256"):
            store.read(found)

    def test_missing_file_and_missing_manifest(self, store):
        found = make(store)
        data_file(store, found).unlink()
        with pytest.raises(BackupDamaged, match="is missing"):
            store.read(found)
        (store.folder / found.name / MANIFEST).unlink()
        with pytest.raises(BackupDamaged, match="is missing"):
            store.manifest(found.name)

    @pytest.mark.parametrize("text", ["", "{}", "[1]", "null", '{"rows": {"a": 1}}'])
    def test_manifest_that_is_none(self, store, text):
        found = make(store)
        (store.folder / found.name / MANIFEST).write_text(text)
        with pytest.raises(BackupDamaged, match="cannot be read"):
            store.manifest(found.name)
        assert list(store.manifests()) == []

    def test_manifest_of_another_backup(self, store):
        first, second = make(store), make(store)
        shutil.copy(store.folder / first.name / MANIFEST, store.folder / second.name / MANIFEST)
        with pytest.raises(BackupDamaged, match="of another backup"):
            store.manifest(second.name)

    @pytest.mark.parametrize("name", ["../../etc", "warehouse-20260301T000000Z/..", "warehouse", ".making-x", ""])
    def test_names_cannot_leave_the_folder(self, store, name):
        make(store)
        with pytest.raises(InputRejected):
            store.manifest(name)


class TestSealed:
    """What somebody could do who also corrects the manifest: the cipher itself refuses it."""

    @pytest.fixture
    def path(self, sealed_store):
        self.data = os.urandom(3 * CHUNK + 7)
        self.manifest = make(sealed_store, self.data)
        return data_file(sealed_store, self.manifest)

    def unsealed(self, path, key=KEY, name=None):
        with path.open("rb") as file:
            return b"".join(sealed.unseal(file, key, name or self.manifest.name))

    def test_untouched(self, path):
        assert self.unsealed(path) == self.data

    def test_cut_off_after_a_whole_chunk(self, path):
        head, chunk = len(sealed.MAGIC) + 16, CHUNK + 16
        path.write_bytes(path.read_bytes()[: head + 2 * chunk])
        with pytest.raises(BackupDamaged, match="at chunk 1"):
            self.unsealed(path)

    def test_nothing_but_the_head(self, path):
        path.write_bytes(path.read_bytes()[: len(sealed.MAGIC) + 16])
        with pytest.raises(BackupDamaged, match="at chunk 0"):
            self.unsealed(path)

    @pytest.mark.parametrize("order", [[1, 0, 2, 3], [0, 2, 3], [0, 0, 1, 2, 3]], ids=["moved", "left out", "doubled"])
    def test_chunks_in_another_order(self, path, order):
        head, chunk = len(sealed.MAGIC) + 16, CHUNK + 16
        content = path.read_bytes()
        chunks = [content[head + n * chunk : head + (n + 1) * chunk] for n in range(4)]
        path.write_bytes(content[:head] + b"".join(chunks[n] for n in order))
        with pytest.raises(BackupDamaged):
            self.unsealed(path)

    def test_something_behind_the_end(self, path):
        path.write_bytes(path.read_bytes() + b"x")
        with pytest.raises(BackupDamaged):
            self.unsealed(path)

    def test_another_key_name_or_kind_of_file(self, path):
        with pytest.raises(BackupDamaged):
            self.unsealed(path, key=OTHER_KEY)
        with pytest.raises(BackupDamaged):
            self.unsealed(path, name="warehouse-20260302T000000Z")
        path.write_bytes(b"PGDMP" + path.read_bytes())
        with pytest.raises(BackupDamaged, match="not an encrypted backup"):
            self.unsealed(path)

    def test_equal_content_never_looks_equal(self, sealed_store):
        files = [data_file(sealed_store, make(sealed_store, bytes(CHUNK))).read_bytes() for _ in range(2)]
        assert files[0][24:] != files[1][24:]


class TestKeys:
    @pytest.mark.parametrize("key", [None, OTHER_KEY])
    def test_wrong_or_missing_key_is_said_before_anything_is_read(self, sealed_store, key):
        found = make(sealed_store)
        data_file(sealed_store, found).unlink()
        with pytest.raises(BackupKeyWrong, match=key_id(KEY)) as wrong:
            Store(BackupSettings(sealed_store.folder, key=key)).read(found)
        assert classify(wrong.value).error_class is ErrorClass.AUTH

    def test_a_plain_backup_needs_none(self, tmp_path):
        plain = Store(BackupSettings(tmp_path, min_free_mb=0))
        found = make(plain, b"abc")
        assert read(Store(BackupSettings(tmp_path, key=KEY)), found) == b"abc"

    def test_from_variable_and_file(self, tmp_path):
        text = base64.b64encode(KEY).decode()
        (tmp_path / "key").write_text(text + "\n")
        assert BackupSettings.from_env({"BACKUP_KEY": text}).key == KEY
        assert (
            BackupSettings.from_env({"BACKUP_KEY": base64.urlsafe_b64encode(b"\xff" * 32).decode()}).key == b"\xff" * 32
        )
        assert BackupSettings.from_env({"BACKUP_KEY_FILE": str(tmp_path / "key")}).key == KEY
        assert BackupSettings.from_env({}).key is None

    @pytest.mark.parametrize("name", ["BACKUP_KEY", "BACKUP_KEY_FILE"])
    @pytest.mark.parametrize("text", ["geheim-und-zu-kurz", "%%%", "Zm9v"])
    def test_unusable_key_is_refused_and_not_shown(self, tmp_path, name, text):
        (tmp_path / "key").write_text(text)
        given = {name: text if name == "BACKUP_KEY" else str(tmp_path / "key")}
        with pytest.raises(InputRejected) as refused:
            BackupSettings.from_env(given)
        assert text not in str(refused.value)

    def test_missing_key_file_is_refused(self, tmp_path):
        with pytest.raises(InputRejected, match="BACKUP_KEY_FILE"):
            BackupSettings.from_env({"BACKUP_KEY_FILE": str(tmp_path / "none")})

    @pytest.mark.parametrize("text", ["x", "-1", "nan", "inf"])
    def test_unusable_number(self, text):
        with pytest.raises(InputRejected, match="BACKUP_KEEP_DAYS"):
            BackupSettings.from_env({"BACKUP_KEEP_DAYS": text})


class TestExpire:
    def days(self, store, *ages, source="warehouse"):
        return [make(store, source=source, now=NOW - timedelta(days=age)).name for age in ages]

    def test_old_ones_go(self, store):
        names = self.days(store, 40, 31, 29, 1)
        assert store.expire({names[3]}, NOW) == names[:2]
        assert store.names() == names[2:]

    def test_the_newest_good_one_stays_however_old(self, store):
        names = self.days(store, 90, 60, 50, 40)
        assert store.expire({names[0], names[1]}, NOW) == names[:1]

    def test_nothing_goes_until_one_is_good(self, store):
        names = self.days(store, 90, 60)
        assert store.expire(set(), NOW) == []
        assert store.names() == names

    def test_sources_do_not_count_for_each_other(self, store):
        old = self.days(store, 60)
        graph = self.days(store, 1, source="graph")
        assert store.expire({*old, *graph}, NOW) == []

    def test_damaged_old_ones_go_too(self, store):
        names = self.days(store, 60, 1)
        (store.folder / names[0] / MANIFEST).unlink()
        assert store.expire({names[1]}, NOW) == names[:1]

    def test_the_order_is_that_of_time(self, store):
        for _ in range(11):
            make(store)
        assert store.names()[-2:] == ["warehouse-20260301T000000Z-10", "warehouse-20260301T000000Z-11"]
