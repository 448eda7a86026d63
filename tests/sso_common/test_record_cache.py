"""The cache of verified records is bounded by bytes, and remembers what is used."""

from __future__ import annotations

import tracemalloc

from sso_common import testing
from sso_common.identity import check_record
from sso_common.record_cache import LIMIT, RecordCache
from sso_common.tokens import mint_token

KEYS = (testing.PUBLIC_KEY,)


def record(sites: int = 0) -> bytes:
    names = {f"site_{number}": ["editor", "staff"] for number in range(sites)}
    return testing.sign_record(testing.make_identity(mint_token(), sites=names))


def test_records_of_14_kb_do_not_fill_the_memory() -> None:
    cache = RecordCache()
    large = record(350)
    assert len(large) > 13_000
    tracemalloc.start()
    try:
        for _ in range(350):
            each = record(350)
            cache.put(each, KEYS, check_record(each, KEYS))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert cache.size <= LIMIT
    assert used < 64 * 1024 * 1024


def test_least_recently_used_record_is_dropped() -> None:
    first, second, third = record(), record(), record()
    cache = RecordCache(limit=len(first) + len(second) + 10)
    for each in (first, second):
        cache.put(each, KEYS, check_record(each, KEYS))
    assert cache.get(first, KEYS) is not None

    cache.put(third, KEYS, check_record(third, KEYS))

    assert cache.get(second, KEYS) is None
    assert cache.get(first, KEYS) is not None
    assert cache.get(third, KEYS) is not None


def test_record_is_remembered_for_the_keys_that_verified_it() -> None:
    cache = RecordCache()
    each = record()
    cache.put(each, KEYS, check_record(each, KEYS))

    assert cache.get(each, (("other", bytes(32)),)) is None


def test_record_that_is_put_twice_counts_once() -> None:
    cache = RecordCache()
    each = record()

    for _ in range(2):
        cache.put(each, KEYS, check_record(each, KEYS))

    assert cache.size == len(each)
