"""Telling people from this machine, by real Apprise: what arrives, and that a dead sink costs no more than a bound."""

import email
import email.policy
import json
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from pydantic import SecretStr

from kubetune.config.settings import Settings, load_settings
from kubetune.errors import ConfigError
from kubetune.notifications import sinks as module
from kubetune.notifications.announce import announce, outbox_of, wait_until_sent
from kubetune.notifications.events import Notice, decision_notice, started_notice
from kubetune.notifications.sinks import AppriseSink, sinks_of, within
from notifications.post_office import PostOffice, post_office

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise imports it
HOSTILE = "<!channel> <script>x</script> &\x1b[31m @here *bold* [a](https://evil.test)"


@pytest.fixture
def office() -> Iterator[PostOffice]:
    with post_office() as found:
        yield found


def settings_for(folder: Path, *addresses: str, **changes: object) -> Settings:
    return Settings(notices=SecretStr("\n".join(addresses)), state_dir=folder / "state", **changes)


def waiting(settings: Settings) -> int:
    return len(list((outbox_of(settings).folder / "todo").glob("*.json")))


def test_a_notice_arrives_once(tmp_path: Path, office: PostOffice) -> None:
    settings = settings_for(tmp_path, office.address)
    notice = decision_notice("t-7", "keep", ["Accuracy fell by 0.02."], [("accuracy", 0.9)])
    for _ in range(2):
        announce(settings, notice)
        wait_until_sent()
    (taken,) = office.taken
    assert taken["title"] == "kubetune: t-7 is not promoted, the champion stays"
    assert taken["message"] == notice.body()
    assert (taken["type"], waiting(settings)) == ("info", 0)


def test_hostile_text_arrives_plain_and_short(tmp_path: Path, office: PostOffice) -> None:
    long = HOSTILE + "x" * (1 << 20)
    announce(settings_for(tmp_path, office.address), Notice("failed", "r", "train", long, (long,) * 99))
    wait_until_sent()
    (taken,) = office.taken
    assert len(json.dumps(taken)) < 20_000
    assert str(taken["title"]).isprintable()
    assert "@" not in str(taken)
    assert taken["type"] == "failure"


def test_slack_gets_it_escaped() -> None:
    """Apprise's own Slack service, up to the request that it would make."""
    with mock.patch("requests.request") as post:
        post.return_value = mock.Mock(status_code=200, content=b"ok", text="ok")
        address = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"
        AppriseSink(address).send(Notice("failed", "r", "train", f"title {HOSTILE}", (HOSTILE,)))
    sent = json.dumps(post.call_args.kwargs.get("json") or json.loads(post.call_args.kwargs["data"]))
    assert "<" not in sent
    assert "&lt;!channel&gt;" in sent


@pytest.mark.parametrize(("kind", "shown"), [("text", "text/plain"), ("html", "text/html")])
def test_a_mail_gets_it_harmless(kind: str, shown: str) -> None:
    with mock.patch("smtplib.SMTP") as server:
        server.return_value.sendmail.return_value = {}
        notice = Notice("failed", "r", None, f"t\r\nBcc: b@mail.test {HOSTILE}", (HOSTILE,))
        AppriseSink(f"mailto://u:p@mail.test?to=a@mail.test&format={kind}").send(notice)
    (_, receivers, text) = server.return_value.sendmail.call_args.args
    mail = email.message_from_string(text, policy=email.policy.default)
    body = mail.get_body((kind.replace("text", "plain"),))
    assert body is not None
    assert body.get_content_type() == shown
    assert ("<script" in body.get_content()) == (kind == "text")
    assert receivers == ["a@mail.test"]
    assert mail["Bcc"] is None
    assert "\x1b" not in body.get_content()


def test_a_dead_sink_costs_no_more_than_the_bound(tmp_path: Path, office: PostOffice) -> None:
    with socket.socket() as silent:  # takes the connection and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings = settings_for(tmp_path, f"json://127.0.0.1:{silent.getsockname()[1]}/", office.address)
        begun = time.monotonic()
        announce(settings, started_notice("a"))
        assert time.monotonic() - begun < 0.5
        wait_until_sent(1.0)
        assert time.monotonic() - begun < 2.0
    assert waiting(settings) == 1


def test_a_refused_notice_goes_out_with_a_later_one(
    tmp_path: Path, office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubetune.notifications.outbox.FIRST_S", 0.0)
    settings = settings_for(tmp_path, office.address)
    office.status = 500
    announce(settings, started_notice("a"))
    wait_until_sent()
    assert (office.taken, waiting(settings)) == ([], 1)
    office.status = 200
    announce(settings, started_notice("b"))
    wait_until_sent()
    assert office.titles == ["kubetune: a started", "kubetune: b started"]
    assert waiting(settings) == 0


def test_a_server_that_drips_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        within(0.2, lambda: time.sleep(2))
    assert time.monotonic() - begun < 1
    with pytest.raises(KeyError):
        within(1, lambda: {}["x"])


def test_nobody_is_told_where_nobody_is_named_or_nothing_may_leave(tmp_path: Path) -> None:
    for settings in (
        Settings(state_dir=tmp_path / "state"),
        settings_for(tmp_path, ""),
        settings_for(tmp_path, "json://h/", offline=True),
    ):
        assert sinks_of(settings) == ()
        announce(settings, started_notice("a"))
        wait_until_sent()
    assert not (tmp_path / "state").exists()


def test_addresses_come_from_the_environment_and_are_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "TIiajkdnlazkcOXr"
    monkeypatch.setenv("KUBETUNE_NOTICES", f"json://u:{secret}@127.0.0.1:1/ nonsense://{secret}\njson://127.0.0.1:1/")
    settings = load_settings().model_copy(update={"state_dir": tmp_path / "state"})
    assert [sink.name.split()[0] for sink in sinks_of(settings)] == ["json", "nonsense", "json"]
    announce(settings, started_notice("a"))
    wait_until_sent()
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert secret not in caplog.text + repr(settings) + stored.decode() + "".join(capfd.readouterr())
    assert "was not taken by nonsense" in (tmp_path / "state" / "notices" / "log").read_text()


def test_a_machine_without_apprise_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    with pytest.raises(ConfigError, match=r"kubetune\[notices\]"):
        AppriseSink("json://h/").send(started_notice("a"))
    assert module.SEND_S <= 10
