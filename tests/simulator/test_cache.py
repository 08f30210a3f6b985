"""What is kept on disk: found again, never in the way."""

import os
import pickle

import pytest

from ptoc.simulator import cache


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PTOC_CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.delenv("PTOC_CACHE", raising=False)
    cache.folder.cache_clear()
    yield tmp_path / "kept"
    cache.folder.cache_clear()


def test_what_was_stored_is_loaded(folder):
    cache.store("a" * 64, {"x": (1, 2)})
    assert cache.load("a" * 64) == {"x": (1, 2)}
    assert cache.load("b" * 64) is None
    assert [path.name for path in folder.iterdir()] == ["a" * 64]


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-1], lambda data: data[:40] + b"\0" + data[41:], lambda data: b"other" + data[5:]])
def test_a_damaged_entry_is_dropped(folder, damage):
    cache.store("k", [1, 2, 3])
    (folder / "k").write_bytes(damage((folder / "k").read_bytes()))
    assert cache.load("k") is None
    assert not (folder / "k").exists()


def test_an_entry_of_something_that_is_gone_is_dropped(folder):
    import hashlib

    body = b"cptoc.simulator.nothing\nGone\n."
    (folder).mkdir(exist_ok=True)
    cache.folder.cache_clear()
    assert cache.folder() == folder
    (folder / "k").write_bytes(cache.MAGIC + hashlib.sha256(body).digest() + body)
    assert cache.load("k") is None
    assert not (folder / "k").exists()


def test_what_cannot_be_pickled_is_not_kept(folder):
    cache.store("k", lambda: 0)
    assert cache.load("k") is None
    assert list(folder.iterdir()) == []


def test_it_can_be_switched_off(folder, monkeypatch):
    monkeypatch.setenv("PTOC_CACHE", "off")
    cache.folder.cache_clear()
    cache.store("k", 1)
    assert cache.load("k") is None
    assert not folder.exists()


def test_a_folder_that_others_may_write_to_is_not_used(folder):
    folder.mkdir()
    folder.chmod(0o777)
    cache.folder.cache_clear()
    assert cache.folder() is None


def test_a_folder_that_cannot_be_made_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PTOC_CACHE_DIR", str(tmp_path / "file" / "kept"))
    cache.folder.cache_clear()
    assert cache.folder() is None
    cache.folder.cache_clear()


def test_the_oldest_entries_go(folder, monkeypatch):
    monkeypatch.setattr(cache, "ENTRIES_MAX", 3)
    for number in range(5):
        cache.store(str(number), number)
        os.utime(folder / str(number), (number, number))
    assert sorted(path.name for path in folder.iterdir()) == ["2", "3", "4"]


def test_keys_depend_on_all_parts():
    keys = {cache.key_of("a", 1), cache.key_of("a", "1"), cache.key_of("a", 1, None), cache.key_of("a", 2)}
    assert len(keys) == 4


def test_an_entry_is_plain_pickle(folder):
    cache.store("k", (1, "x"))
    assert pickle.loads((folder / "k").read_bytes()[len(cache.MAGIC) + 32 :]) == (1, "x")
