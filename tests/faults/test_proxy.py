"""The proxy itself does what it is told, so that the tests with it mean something."""

from __future__ import annotations

import time

import pytest
import redis

from local.servers import RedisServer
from tests.faults.proxy import proxied

pytestmark = pytest.mark.servers


def client(address: str, patience_s: float = 60) -> redis.Redis:
    return redis.Redis.from_url(address, socket_timeout=patience_s, retry=None)


def test_modes(redis_server: RedisServer) -> None:
    with proxied(redis_server.url) as proxy, client(proxy.address) as ours, client(redis_server.url) as direct:
        key = "proxy-test"
        assert ours.set(key, "1")
        proxy.hang()
        with pytest.raises(redis.TimeoutError):
            client(proxy.address, patience_s=0.3).get(key)
        proxy.flow()
        assert ours.get(key) == b"1"
        proxy.refuse()
        with pytest.raises(redis.ConnectionError):
            ours.get(key)
        with pytest.raises(redis.ConnectionError, match="refused"):
            client(proxy.address).get(key)
        proxy.accept()
        assert ours.get(key) == b"1"
        proxy.latency_s = 0.1
        start = time.monotonic()
        assert ours.get(key) == b"1"
        assert time.monotonic() - start > 0.1
        proxy.latency_s = 0
        # The request of a cut reply arrives.
        proxy.cut_reply(b"INCR", nth=2)
        assert ours.incr(key) == 2
        with pytest.raises(redis.ConnectionError):
            ours.incr(key)
        assert proxy.cuts == 1
        assert direct.get(key) == b"3"
        assert ours.incr(key) == 4
        # Something happens between two commands of one pipeline.
        proxy.before(b"*2\r\n$3\r\nGET", lambda: direct.set(key, "between"), answered=True)
        with ours.pipeline(transaction=False) as pipe:
            assert pipe.get(key).get(key).execute() == [b"4", b"between"]
        direct.delete(key)
