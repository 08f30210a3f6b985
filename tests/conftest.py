"""What all tests share: a cache of their own, and random examples that are the same in each run."""

import os

import pytest
from hypothesis import settings

from ptoc.simulator import cache

settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """What tests keep on disk is not found by others, nor theirs by them."""
    before = os.environ.get("PTOC_CACHE_DIR")
    os.environ["PTOC_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    cache.folder.cache_clear()
    yield
    if before is None:
        del os.environ["PTOC_CACHE_DIR"]
    else:
        os.environ["PTOC_CACHE_DIR"] = before
