"""What ptoc keeps on disk between runs, by content: kernels as time sees them, and the compiled engine.

A folder of the user's (`PTOC_CACHE_DIR`, else ptoc in `XDG_CACHE_HOME` or ~/.cache); `PTOC_CACHE=off` switches it off.  An entry is
written whole or not at all, carries its digest, and is dropped where that does not fit: neither concurrent runs nor a damaged file
can do more than cost time.  A folder that another user owns or may write to is not used, since entries are unpickled.
"""

import contextlib
import hashlib
import os
import pickle
import sys
import tempfile
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

ENTRIES_MAX = 400
"""Entries kept; beyond it those that were not used for longest go."""

MAGIC = b"ptoc1"


@lru_cache(maxsize=1)
def folder() -> Path | None:
    """The folder of the cache, made if need be; None where there is none."""
    if os.environ.get("PTOC_CACHE", "").lower() in ("off", "0", "no"):
        return None
    given = os.environ.get("PTOC_CACHE_DIR")
    base = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ptoc"
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = base.stat()
    except (OSError, RuntimeError):  # no home
        return None
    foreign = hasattr(os, "getuid") and (facts.st_uid != os.getuid() or facts.st_mode & 0o022)
    return None if foreign or not os.access(base, os.W_OK) else base


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """Of ptoc itself, Python and the MLIR bindings: what was made by other ones is not found."""
    digest = hashlib.sha256(sys.version.encode())
    root = Path(__file__).resolve().parent
    parts = ("ptoc", "dialect", "machine", "passes", "lowering", "simulator", "frontend", "kernels")
    for part in parts:  # beside this folder, in a checkout as where ptoc is installed (there `ptoc` is what holds them)
        place = root.parent if part == "ptoc" and root.parent.name == "ptoc" else root.parent / part
        for path in sorted([*place.glob("*.*"), *place.glob("*/*.*")]):
            if path.suffix in (".py", ".yaml"):
                facts = path.stat()
                digest.update(f"{path}:{facts.st_size}:{facts.st_mtime_ns};".encode())
    for name in ("mlir", "torch_mlir", "numpy"):
        spec = PathFinder.find_spec(name)
        if spec is not None and spec.origin:
            digest.update(f"{spec.origin}:{os.stat(spec.origin).st_mtime_ns};".encode())
    return digest.hexdigest()


def key_of(*parts: Any) -> str:
    """The name of an entry that depends on `parts` (whose repr says all) and on ptoc itself."""
    return hashlib.sha256("\0".join((fingerprint(), *map(repr, parts))).encode()).hexdigest()


def load(key: str) -> Any:
    """The entry of a key, None if there is none or it is damaged."""
    base = folder()
    if base is None:
        return None
    path = base / key
    try:
        data = path.read_bytes()
        body = data[len(MAGIC) + 32 :]
        whole = data == MAGIC + hashlib.sha256(body).digest() + body
        if not whole:
            return _drop(path)
        value = pickle.loads(body)
        os.utime(path)
    except FileNotFoundError:
        return None
    except (OSError, pickle.UnpicklingError, AttributeError, EOFError, ImportError, IndexError, TypeError, ValueError):
        return _drop(path)  # what unpickling raises for what another version of Python or of a package wrote
    return value


def _drop(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def store(key: str, value: Any) -> None:
    """Keeps an entry; where that is not possible, nothing is kept."""
    base = folder()
    if base is None:
        return
    try:
        body = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        handle, name = tempfile.mkstemp(dir=base, prefix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(MAGIC + hashlib.sha256(body).digest() + body)
            os.replace(name, base / key)
        except BaseException:
            os.unlink(name)
            raise
        _prune(base)
    except (OSError, pickle.PicklingError, TypeError, AttributeError):
        return


def _prune(base: Path) -> None:
    entries = []
    with os.scandir(base) as found:
        for entry in found:
            if entry.is_file():
                entries.append((entry.stat().st_mtime_ns, entry.path))
    for _, path in sorted(entries)[: max(0, len(entries) - ENTRIES_MAX)]:
        with contextlib.suppress(OSError):
            os.unlink(path)


def digest_of(path: str | Path) -> str:
    """SHA-256 of a file, "" where it cannot be read."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return ""
