"""The lock file of the Java archives, and what happens without a network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from local import maven
from local.errors import PartError
from local.maven import Jar
from local.progress import Event


def test_lock_is_complete_and_well_formed() -> None:
    jars = maven.read_lock("neo4j") + maven.read_lock("redis")
    assert [jar.line() for jar in jars] == [line for line in maven.LOCK.read_text().splitlines() if line[0] != "#"]
    assert {f"{j.group}:{j.artifact}:{j.version}" for j in jars} >= set(maven.WANTED.values())
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in jars)
    assert len({jar.cached(Path()) for jar in jars}) == len(jars)


def test_lock_names_no_registry() -> None:
    assert "//" not in maven.LOCK.read_text()


def test_line_with_classifier_round_trips() -> None:
    line = f"neo4j io.netty:epoll:linux-x86_64:4.1 12 {'a' * 64}"
    jar = Jar.parse(line)
    assert (jar.classifier, jar.version, jar.file_name) == ("linux-x86_64", "4.1", "epoll-4.1-linux-x86_64.jar")
    assert jar.registry_path == "io/netty/epoll/4.1/epoll-4.1-linux-x86_64.jar"
    assert jar.line() == line


def test_native_libraries_of_other_platforms_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maven.sys, "platform", "linux")
    monkeypatch.setattr(maven.platform, "machine", lambda: "aarch64")
    expected = {"": True, "linux-x86_64": False, "linux-aarch_64": True, "osx-x86_64": False}
    assert {c: Jar("o", "g", "a", c, "1", 1, "").fits_here() for c in expected} == expected


@pytest.fixture
def one_jar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Jar:
    content = b"an archive"
    jar = Jar("redis", "g", "a", "", "1", len(content), hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(maven, "read_lock", lambda _owner: [jar])
    monkeypatch.setattr(maven, "_remotes", lambda: ["registry"])
    monkeypatch.setattr(maven, "_local_repository", lambda: tmp_path / "m2")
    return jar


def test_download_is_verified_cached_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, one_jar: Jar
) -> None:
    asked: list[str] = []
    events: list[Event] = []
    monkeypatch.setattr(maven, "_get", lambda path, _remotes: asked.append(path) or b"an archive")
    for _ in range(2):
        assert maven.ensure("redis", events.append, tmp_path / "cache") == [one_jar.cached(tmp_path / "cache")]
    assert asked == ["g/a/1/a-1.jar"]
    assert len(events) == 1


def test_a_changed_archive_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, one_jar: Jar) -> None:
    monkeypatch.setattr(maven, "_get", lambda _path, _remotes: b"evil bytes")
    with pytest.raises(PartError, match="does not have the locked sha256"):
        maven.ensure("redis", cache=tmp_path)
    assert not one_jar.cached(tmp_path).exists()


def test_a_truncated_file_in_the_cache_is_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, one_jar: Jar
) -> None:
    monkeypatch.setattr(maven, "_get", lambda _path, _remotes: b"an archive")
    one_jar.cached(tmp_path).parent.mkdir(parents=True)
    one_jar.cached(tmp_path).write_bytes(b"an")
    assert maven.ensure("redis", cache=tmp_path)[0].read_bytes() == b"an archive"


def test_a_maven_users_own_repository_is_used(tmp_path: Path, one_jar: Jar) -> None:
    kept = tmp_path / "m2" / one_jar.registry_path
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"an archive")
    assert maven.ensure("redis", cache=tmp_path)[0].read_bytes() == b"an archive"


def test_no_network_is_one_line_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, one_jar: Jar
) -> None:
    def offline(path: str, remotes: object) -> bytes:
        raise OSError("ConnectionError")

    monkeypatch.setattr(maven, "_get", offline)
    with pytest.raises(PartError, match="connect to the network once, or copy") as caught:
        maven.ensure("redis", cache=tmp_path)
    assert "\n" not in str(caught.value)
