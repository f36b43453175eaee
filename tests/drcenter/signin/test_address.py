"""Which address counts: only trusted proxies are believed, and only for what they add themselves."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from drcenter.environment import proxies
from drcenter.signin.address import client_address


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "expected"),
    [
        ("203.0.113.9", "", [], "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", [], "203.0.113.9"),
        ("127.0.0.1", "198.51.100.1", [], "127.0.0.1"),
        ("127.0.0.1", "198.51.100.1", ["127.0.0.1"], "198.51.100.1"),
        # What stands further left was written by the client itself.
        ("127.0.0.1", "8.8.8.8, 198.51.100.1", ["127.0.0.1"], "198.51.100.1"),
        ("127.0.0.1", "198.51.100.1, 10.0.0.7", ["127.0.0.1", "10.0.0.0/8"], "198.51.100.1"),
        ("127.0.0.1", "nonsense", ["127.0.0.1"], "127.0.0.1"),
        ("127.0.0.1", "", ["127.0.0.1"], "127.0.0.1"),
        ("127.0.0.1", "198.51.100.1:4711", ["127.0.0.1"], "198.51.100.1"),
        ("::1", "[2001:db8::7]:443", ["::1"], "2001:db8::7"),
        ("::ffff:10.0.0.1", "198.51.100.1", ["10.0.0.0/8"], "198.51.100.1"),
        ("", "198.51.100.1", [], "unix"),
        ("", "198.51.100.1", ["unix"], "198.51.100.1"),
        ("", "", ["unix"], "unix"),
    ],
)
def test_client_address(peer, forwarded, trusted, expected):
    assert client_address(peer, forwarded, trusted) == expected


def test_a_setting_that_is_no_address_is_refused():
    assert proxies("P", {"P": "127.0.0.1, unix,10.0.0.0/8"}) == ["127.0.0.1", "unix", "10.0.0.0/8"]
    with pytest.raises(ImproperlyConfigured, match="nginx"):
        proxies("P", {"P": "nginx"})
