"""A real Alertmanager with the shipped configuration, and a receiver that keeps what it is sent."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final, NamedTuple

import yaml

from tests.support.http import ask
from tests.support.processes import ROOT, Programs, eventually, free_port
from tests.support.tools import needed_tool

ALERTMANAGER_FILE: Final = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"


class Notice(NamedTuple):
    """One alert as a receiver was told of it."""

    receiver: str
    status: str  # firing or resolved
    labels: dict[str, str]
    annotations: dict[str, str]


class Receiver:
    """What arrived so far, in order."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.notices: list[Notice] = []

    def take(self, receiver: str, document: dict[str, Any]) -> None:
        """Keep the alerts of one notification."""
        self.notices += [
            Notice(receiver, alert["status"], alert["labels"], alert["annotations"]) for alert in document["alerts"]
        ]

    def wait_for(self, receiver: str, status: str, **labels: str) -> Notice:
        """Return the newest notice of an alert with these labels, as soon as its status is the one."""

        def find() -> Notice:
            about = [one for one in self.notices if one.receiver == receiver and labels.items() <= one.labels.items()]
            reported = [(one.receiver, one.status, one.labels["alertname"]) for one in self.notices]
            assert about, f"{receiver} was told nothing of {labels}, but: {reported}"
            assert about[-1].status == status, f"{labels}: {about[-1].status}, not {status}; told: {reported}"
            return about[-1]

        return eventually(find)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Run a server that takes notifications; the last part of its paths says who is notified."""

    class Handler(BaseHTTPRequestHandler):
        """Takes one notification."""

        def do_POST(self) -> None:
            """Keep it."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.take(self.path.strip("/"), json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def start_alertmanager(programs: Programs, receivers: str) -> str:
    """Start one with the shipped routes and inhibitions, but impatient; return its `host:port`.

    Args:
        programs: What starts and ends it.
        receivers: The URL below which each receiver has its path.
    """
    program = needed_tool("prometheus-alertmanager")
    configuration = programs.directory / "alertmanager.yml"
    document = yaml.safe_load(ALERTMANAGER_FILE.read_text())
    _make_impatient(document["route"])
    for entry in document["receivers"]:
        for webhook in entry.get("webhook_configs", ()):
            webhook["url"] = f"{receivers}/{entry['name']}"
    configuration.write_text(yaml.safe_dump(document))
    address = f"127.0.0.1:{free_port()}"
    programs.start(
        program,
        f"--config.file={configuration}",
        f"--storage.path={programs.directory / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
        "--log.level=error",
    )

    def is_ready() -> None:
        assert ask(f"http://{address}/-/ready").status == 200

    eventually(is_ready)
    return address


def _make_impatient(route: dict[str, Any]) -> None:
    """Let every notification of a route and its branches go out at once."""
    route |= {"group_wait": "100ms", "group_interval": "1s"}
    for branch in route.get("routes", ()):
        _make_impatient(branch)
