"""What exporters share in tests: a service that counts requests by key, and a proxy that stops passing data on."""

import json
import re
import socket
import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.http import Handler, serving_in_a_thread
from tests.support.rows import example_row


class CountingService:
    """A list of tasks for each app, and when requests came, by their key."""

    def __init__(self, apps: dict[str, int]) -> None:
        self.arrivals: dict[str, list[float]] = defaultdict(list)
        self._lock = threading.Lock()
        self._rows = {app: [self._row(app, number, 60) for number in range(tasks)] for app, tasks in apps.items()}
        self.url = ""

    @staticmethod
    def _row(app: str, number: int, idle: int) -> dict[str, Any]:
        return {**example_row(), "AppId": app, "TaskId": f"task-{number}", "MaxIdleTime": str(idle)}

    def change(self, app: str, idle: int) -> None:
        """Change a task of an app, which moves it to the front."""
        with self._lock:
            first, *rest = sorted(self._rows[app], key=lambda row: row["TaskId"])
            self._rows[app] = [{**first, "MaxIdleTime": str(idle)}, *rest]

    def most_in_a_second(self, key: str, since: float) -> int:
        """Return the most requests of a key in any window of a second."""
        with self._lock:
            times = sorted(at for at in self.arrivals[key] if at >= since)
        return max((bisect_right(times, at + 0.999) - place for place, at in enumerate(times)), default=0)

    def answer(self, path: str, key: str) -> bytes:
        """Count a request and answer it."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        with self._lock:
            self.arrivals[key].append(time.monotonic())
            rows = self._rows[query["AppId"]]
        if "TaskId" in query:
            rows = [row for row in rows if row["TaskId"] == query["TaskId"]]
        else:
            size = int(query["PageSize"])
            rows = rows[(int(query["PageNo"]) - 1) * size :][:size]
        return json.dumps({"RequestId": "1", "MPUTasks": rows}).encode()


@contextmanager
def counting_service(apps: dict[str, int]) -> Iterator[CountingService]:
    """Serve on a free port."""
    service = CountingService(apps)

    class Listing(Handler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            found = re.search(r"Credential=([^,]+)", self.headers["Authorization"])
            assert found
            self.respond(service.answer(self.path, found[1]))

    with serving_in_a_thread(Listing) as address:
        service.url = f"http://{address}"
        yield service


class Proxy:
    """Passes connections on to a port; while it is `cut`, nothing gets through and nobody notices."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open = threading.Event()
        self._open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._open.clear()

    def heal(self) -> None:
        """Let all through, also what has waited."""
        self._open.set()

    def close(self) -> None:
        self.heal()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        self._open.wait()
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            client.close()
            return
        back = threading.Thread(target=self._pass_on, args=(server, client), daemon=True)
        back.start()
        self._pass_on(client, server)
        back.join()
        client.close()
        server.close()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._open.wait()
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
