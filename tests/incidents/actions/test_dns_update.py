"""A name is led elsewhere: real dns-lexicon against an HTTP server that speaks PowerDNS's API, and a name server
over UDP that publishes its zone some time later."""

import json
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from drcenter.errors import OperationFailed
from incidents.actions import dns_update
from incidents.actions.dns_update import DnsOptions, Plugin
from tests.incidents.actions.here import context, done

DOMAIN, NAME, OLD, NEW = "example.org", "www.example.org", "192.0.2.10", "192.0.2.20"


class Zone:
    """What the provider keeps, and what its name server already answers with."""

    def __init__(self) -> None:
        self.kept = {(f"{NAME}.", "A"): [OLD], (f"{DOMAIN}.", "A"): ["192.0.2.1"]}
        self.published = dict(self.kept)
        self.delay, self.ttl, self.mood = 0.3, 60, ""
        self.changed_at = 0.0

    def answers(self, key) -> list[str]:
        if time.monotonic() - self.changed_at >= self.delay:
            self.published = dict(self.kept)
        return self.published.get(key, [])


class Provider(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        zone = self.server.zone
        if zone.mood == "hangs":
            time.sleep(3)
        assert self.headers["X-API-Key"] == "token-of-the-test"
        rrsets = [
            {"name": name, "type": kind, "ttl": zone.ttl, "records": [{"content": one, "disabled": False} for one in all_]}
            for (name, kind), all_ in zone.kept.items() if all_
        ]  # fmt: skip
        self._answer(200, {"kind": "Native", "name": f"{DOMAIN}.", "rrsets": rrsets})

    def do_PATCH(self) -> None:
        zone = self.server.zone
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if zone.mood == "refuses":
            return self._answer(422, {"error": "no"})
        if zone.mood != "lies":
            for change in body["rrsets"]:
                zone.kept[change["name"], change["type"]] = [one["content"] for one in change["records"]]
            zone.changed_at = time.monotonic()
        return self._answer(204, None)

    def _answer(self, code: int, content: object) -> None:
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class NameServer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, socket = self.request
        question = dns.message.from_wire(data)
        reply = dns.message.make_response(question)
        reply.flags |= dns.flags.AA
        asked, zone = question.question[0], self.server.zone
        found = zone.answers((str(asked.name), dns.rdatatype.to_text(asked.rdtype)))
        if zone.mood == "refused":
            reply.set_rcode(dns.rcode.REFUSED)
        elif found:
            reply.answer = [dns.rrset.from_text(asked.name, zone.ttl, "IN", "A", *found)]
        socket.sendto(reply.to_wire(), self.client_address)


@pytest.fixture
def place(monkeypatch):
    """(zone, options of the action)"""
    monkeypatch.setattr(dns_update, "LOOK_SECONDS", 0.1)
    zone = Zone()
    servers = [
        ThreadingHTTPServer(("127.0.0.1", 0), Provider),
        socketserver.ThreadingUDPServer(("127.0.0.1", 0), NameServer),
    ]
    for one in servers:
        one.zone = zone
        threading.Thread(target=one.serve_forever, args=(0.05,), daemon=True).start()
    api, names = (one.server_address[1] for one in servers)
    credentials = {"auth_token": "token-of-the-test", "pdns_server": f"http://127.0.0.1:{api}"}
    monkeypatch.setenv("DNS_CREDENTIALS", json.dumps(credentials))
    yield zone, {
        "provider": "powerdns", "credentials": "env:DNS_CREDENTIALS", "domain": DOMAIN, "name": NAME, "type": "A",
        "content": NEW, "name_server": f"127.0.0.1:{names}",
    }  # fmt: skip
    for one in servers:
        one.shutdown()
        one.server_close()


def test_the_name_leads_elsewhere_and_back(place):
    zone, options = place
    action = Plugin(options)
    before = done(action, context())
    assert before == {"content": OLD, "ttl": 60, "answered": [OLD]}
    assert zone.kept[f"{NAME}.", "A"] == [NEW]
    assert zone.kept[f"{DOMAIN}.", "A"] == ["192.0.2.1"]
    zone.delay = 0.0
    action.undo(context(), before)
    assert zone.kept[f"{NAME}.", "A"] == [OLD]


def test_the_earliest_time_is_said(place):
    zone, options = place
    zone.ttl = 600
    action = Plugin(options | {"provider": "netcup"})
    steps = action.foretell({"content": OLD, "ttl": 600, "answered": [OLD]})
    assert "after about 30 minutes at the earliest" in steps[1]


def test_a_provider_that_says_yes_and_changes_nothing_is_told(place):
    zone, options = place
    action = Plugin(options)
    before = action.look(context())
    zone.mood = "lies"
    with pytest.raises(OperationFailed, match=rf"still lists {OLD}"):
        action.execute(context(), before)


def test_one_that_died_between_removing_and_adding_is_repeated(place):
    zone, options = place
    action = Plugin(options)
    before = action.look(context())
    zone.kept[f"{NAME}.", "A"] = []
    action.execute(context(), before)
    assert zone.kept[f"{NAME}.", "A"] == [NEW]


def test_several_records_are_left_to_a_person(place):
    zone, options = place
    zone.kept[f"{NAME}.", "A"] = [OLD, "192.0.2.11"]
    with pytest.raises(OperationFailed, match="2 records"):
        Plugin(options).look(context())


def test_a_provider_that_hangs_is_given_up(place, monkeypatch):
    zone, options = place
    zone.mood = "hangs"
    monkeypatch.setattr(dns_update, "PROVIDER_SECONDS", 2)
    with pytest.raises(OperationFailed, match="did not end within 2 s"):
        Plugin(options).look(context())


def test_a_name_server_that_goes_on_with_the_old_answer_is_told(place, monkeypatch):
    zone, options = place
    zone.delay = 3600
    action = Plugin(options | {"wait_minutes": 0.01})
    before = action.look(context())
    zone.changed_at = time.monotonic()
    action.execute(context(), before)
    with pytest.raises(OperationFailed, match=f"still answers with {OLD}"):
        action.verify(context(), before)


def test_a_name_server_that_refuses_is_no_answer(place):
    zone, options = place
    zone.mood = "refused"
    with pytest.raises(OperationFailed, match="REFUSED"):
        Plugin(options).look(context())


def test_the_credentials_are_seen_nowhere(place):
    zone, options = place
    zone.mood = "refuses"
    with pytest.raises(OperationFailed) as told:
        action = Plugin(options)
        action.execute(context(), action.look(context()))
    assert "token-of-the-test" not in f"{told.value.message} {told.value.hint}"


@pytest.mark.parametrize(
    ("kind", "content"),
    [("A", "::1"), ("AAAA", "192.0.2.1"), ("A", "example.org"), ("A", "192.0.2.1; reboot")],
)
def test_an_address_has_to_fit_its_type(place, kind, content):
    _zone, options = place
    form = DnsOptions(options | {"type": kind, "content": content, "wait_minutes": 1})
    assert "content" in form.errors
