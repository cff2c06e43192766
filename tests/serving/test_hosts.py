"""Which names a server of this machine answers under."""

from pathlib import Path

import pytest

from kubetune.errors import ConfigError
from kubetune.serving import hosts


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8080",
        "localhost.",
        "a.localhost:1",
        "127.0.0.1:8080",
        "127.9.9.9",
        "[::1]:8080",
        "::1",
        "",
    ],
)
def test_loopback_is_allowed(host: str) -> None:
    assert hosts.allowed(host, ())


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "localhost.evil.example", "evillocalhost", "127.0.0.1.evil.example",
     "10.0.0.1", "0.0.0.0", "[::]", "127.0.0.1@evil", "localhost:80:80", "2130706433", "[::ffff:10.0.0.1]"],
)  # fmt: skip
def test_others_are_not(host: str) -> None:
    assert not hosts.allowed(host, ())


def test_names_are_added_by_a_setting() -> None:
    names = hosts.parse_hosts("Box.lan, 10.0.0.7 ,[fd00::7],")
    assert names == ("box.lan", "10.0.0.7", "[fd00::7]")
    for host in ("box.lan:8080", "BOX.lan", "10.0.0.7", "[fd00::7]:1", "localhost"):
        assert hosts.allowed(host, names), host
    assert not hosts.allowed("box.lan.evil.example", names)
    assert hosts.parse_hosts("") == ()


@pytest.mark.parametrize("setting", ["*", "http://box", "box:8080", "box/path", "a b", "user@box"])
def test_what_is_no_name_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match="which is no host name: write names without port"):
        hosts.parse_hosts(setting)


def test_the_names_reach_the_handler_by_a_file(tmp_path: Path) -> None:
    assert hosts.read(tmp_path) is None  # a .mar in somebody else's TorchServe, under whatever name that has
    hosts.write(tmp_path, ("box.lan",))
    assert hosts.read(tmp_path) == {"box.lan"}
