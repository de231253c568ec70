"""Java archives of the embedded servers: locked, verified, downloaded in parallel, cached for the user.

`python -m local.maven lock` resolves the wanted coordinates again and writes maven.lock. Which registry is asked
is the business of the package jgo and of its own settings.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from local.errors import PartError
from local.files import cache_dir
from local.progress import Event, Report, quiet

LOCK = Path(__file__).with_name("maven.lock")
WANTED = {
    # the whole community server, with its own entry point; 5.26 is the long-term line
    "neo4j": "org.neo4j:neo4j:5.26.30",
    # contains statically linked redis-server 7.0.15 for Linux and macOS
    "redis": "org.signal:embedded-redis:0.9.1",
}
THREADS = 12
TIMEOUT = 30
_session = threading.local()


@dataclass(frozen=True)
class Jar:
    """One locked file."""

    owner: str
    group: str
    artifact: str
    classifier: str
    version: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        """Name in the registry and in the cache."""
        tail = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{tail}.jar"

    @property
    def registry_path(self) -> str:
        """Path below a Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.file_name}"

    def cached(self, cache: Path) -> Path:
        """Where it is kept; the group is part of the name, as two groups may use one artifact name."""
        return cache / "jars" / f"{self.group}.{self.file_name}"

    def line(self) -> str:
        """Its line in the lock file."""
        parts = [self.group, self.artifact, *([self.classifier] if self.classifier else []), self.version]
        return f"{self.owner} {':'.join(parts)} {self.size} {self.sha256}"

    @classmethod
    def parse(cls, line: str) -> Jar:
        """Read a line of the lock file."""
        owner, coordinate, size, sha256 = line.split()
        group, artifact, *classifier, version = coordinate.split(":")
        return cls(owner, group, artifact, "".join(classifier), version, int(size), sha256)

    def fits_here(self) -> bool:
        """Tell whether this platform needs it: native libraries carry their platform as the classifier."""
        if not self.classifier:
            return True
        machine = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch_64", "arm64": "aarch_64"}
        system = {"linux": "linux", "darwin": "osx"}.get(sys.platform, sys.platform)
        return self.classifier == f"{system}-{machine.get(platform.machine().lower(), platform.machine())}"


def read_lock(owner: str) -> list[Jar]:
    """Return the locked files of one server."""
    lines = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return [jar for jar in map(Jar.parse, lines) if jar.owner == owner]


def _remotes() -> list[str]:
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    # jgo's own settings file may name a mirror; without one its default registry is used.
    repositories = GlobalSettings.load().repositories or None
    return [str(url).rstrip("/") for url in MavenContext(remote_repos=repositories).remote_repos.values()]


def _local_repository() -> Path:
    from jgo.config import GlobalSettings

    return Path(GlobalSettings.load().repo_cache)


def _get(path: str, remotes: Sequence[str]) -> bytes:
    import requests

    if not hasattr(_session, "http"):
        _session.http = requests.Session()
    problem = "no registry is configured"
    for attempt in range(3):
        for remote in remotes:
            try:
                answer = _session.http.get(f"{remote}/{path}", timeout=TIMEOUT)
                if answer.status_code == requests.codes.ok:
                    return bytes(answer.content)
                problem = f"HTTP {answer.status_code}"
            except requests.RequestException as error:
                problem = type(error).__name__
        time.sleep(0.5 * attempt)
    raise OSError(problem)


def _store(jar: Jar, content: bytes, target: Path) -> None:
    if hashlib.sha256(content).hexdigest() != jar.sha256:
        raise OSError(f"{jar.file_name} does not have the locked sha256")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}")
    temporary.write_bytes(content)
    # Two clones may download the same file at once: the last one wins with identical bytes.
    temporary.replace(target)


def ensure(owner: str, report: Report = quiet, cache: Path | None = None) -> list[Path]:
    """Return the verified local files of a server, downloading those that are missing."""
    cache = cache or cache_dir()
    jars = [jar for jar in read_lock(owner) if jar.fits_here()]
    try:
        (cache / "jars").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PartError(owner, f"cannot use the cache {cache}: {error}", hint="set XDG_CACHE_HOME") from error
    paths = [jar.cached(cache) for jar in jars]
    missing = [
        (jar, path)
        for jar, path in zip(jars, paths, strict=True)
        if not path.exists() or path.stat().st_size != jar.size
    ]
    if missing:
        _download(owner, missing, report, cache)
    return paths


def _download(owner: str, missing: list[tuple[Jar, Path]], report: Report, cache: Path) -> None:
    remotes, repository = _remotes(), _local_repository()
    total = sum(jar.size for jar, _ in missing)
    done, last = 0, time.monotonic()
    report(Event(owner, "note", f"downloading {len(missing)} files, {total / 1e6:.0f} MB, once per user"))

    def fetch(jar: Jar, path: Path) -> int:
        kept = repository / jar.registry_path
        try:
            _store(jar, kept.read_bytes(), path)
        except OSError:
            _store(jar, _get(jar.registry_path, remotes), path)
        return jar.size

    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="jars")
    try:
        for future in as_completed([pool.submit(fetch, jar, path) for jar, path in missing]):
            done += future.result()
            if time.monotonic() - last > 2:
                last = time.monotonic()
                report(Event(owner, "note", f"downloaded {done / 1e6:.0f} of {total / 1e6:.0f} MB"))
    except OSError as error:
        raise PartError(
            owner,
            f"{(total - done) / 1e6:.0f} MB of Java archives are missing and the Maven registry did not give them "
            f"({error})",
            hint=f"connect to the network once, or copy {cache} from a machine that has it",
        ) from error
    finally:
        # One failure is enough to know: do not wait for the time-outs of the others.
        pool.shutdown(wait=False, cancel_futures=True)


def resolve() -> list[Jar]:
    """Resolve the wanted coordinates anew and hash every file."""
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    repositories = GlobalSettings.load().repositories or None
    context = MavenContext(remote_repos=repositories, timeout=TIMEOUT)
    remotes = _remotes()
    found: list[Jar] = []
    for owner, coordinate in WANTED.items():
        if owner == "redis":
            parts = [coordinate.split(":")]
            chosen = [(group, artifact, "", version) for group, artifact, version in parts]
        else:
            inputs, transitive = context.resolver.resolve([context.create_dependency(coordinate)])
            chosen = sorted(
                (d.groupId, d.artifactId, d.classifier, d.version)
                for d in [*inputs, *transitive]
                if d.scope in (None, "compile", "runtime") and not d.optional
            )
        blank = [Jar(owner, *names, size=0, sha256="") for names in chosen]
        with ThreadPoolExecutor(THREADS) as pool:
            found += pool.map(lambda jar: _hashed(jar, remotes), blank)
    return found


def _hashed(jar: Jar, remotes: Sequence[str]) -> Jar:
    content = _get(jar.registry_path, remotes)
    published = _get(jar.registry_path + ".sha1", remotes).decode().split()[0]
    if hashlib.sha1(content, usedforsecurity=False).hexdigest() != published:
        raise SystemExit(f"{jar.file_name}: the file differs from its published checksum")
    names = (jar.owner, jar.group, jar.artifact, jar.classifier, jar.version)
    return Jar(*names, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def main(argv: Sequence[str]) -> int:
    """`lock` writes the lock file; `fetch` fills the cache."""
    if list(argv) == ["lock"]:
        lines = [jar.line() for jar in resolve()]
        head = "# Java archives: server, coordinate, bytes, sha256. Made by `python -m local.maven lock` (make lock).\n"
        LOCK.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
        print(f"{LOCK.name}: {len(lines)} files")
        return 0
    if list(argv) == ["fetch"]:
        for owner in WANTED:
            print(f"{owner}: {len(ensure(owner))} files in {cache_dir()}")
        return 0
    print("usage: python -m local.maven lock|fetch", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
