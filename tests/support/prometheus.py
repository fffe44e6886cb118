"""A real Prometheus that scrapes exporters, a real Alertmanager with the shipped configuration, and its receiver."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from textwrap import indent
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import yaml

from tests.support.configurations import read_yaml
from tests.support.http import Handler, ask, ask_json, serving_in_a_thread
from tests.support.processes import ROOT, Programs, eventually, free_port, needed_tool

Labels = frozenset[tuple[str, str]]
Series = tuple[str, Labels]  # a metric's name, and its labels

_CONFIGURATION = """\
global: {{scrape_interval: {seconds}s, scrape_timeout: {seconds}s, evaluation_interval: {seconds}s}}
rule_files: [prometheus-rules.yml]
scrape_configs:
- job_name: rtcmpu
  static_configs: [{{targets: [{targets}]}}]
{access}- job_name: rtcmpu-tasks
  metrics_path: /metrics/tasks
  static_configs: [{{targets: [{task_targets}]}}]
{access}- job_name: prometheus
  static_configs: [{{targets: [{own}]}}]
alerting:
  alertmanagers: [{alertmanagers}]
"""


class Prometheus(NamedTuple):
    """A server that runs."""

    url: str

    def query(self, expression: str) -> dict[Series, float]:
        """Return the samples of an instant query, without the labels that the scrape added."""
        answer = ask_json(f"{self.url}/api/v1/query?query={quote(expression)}")
        assert answer["data"]["resultType"] == "vector"
        samples = {}
        for sample in answer["data"]["result"]:
            labels = {name: value for name, value in sample["metric"].items() if name not in {"instance", "job"}}
            samples[labels.pop("__name__", ""), frozenset(labels.items())] = float(sample["value"][1])
        return samples

    def value(self, expression: str) -> float:
        """Return the value of an instant query, as soon as it has one sample: a scrape may come too late."""

        def one() -> float:
            found = list(self.query(expression).values())
            assert len(found) == 1, f"{expression}: {found}"
            return found[0]

        return eventually(one)

    def scrapes(self, selector: str, seconds: int) -> Mapping[Labels, Mapping[float, float]]:
        """Return each series' raw samples of the last seconds, by the time of the scrape."""
        answer = ask_json(f"{self.url}/api/v1/query?query={quote(f'{selector}[{seconds}s]')}")
        return {
            frozenset((name, value) for name, value in series["metric"].items() if name != "__name__"): {
                float(at): float(value) for at, value in series["values"]
            }
            for series in answer["data"]["result"]
        }

    def types(self) -> dict[str, str]:
        """Return the type of each metric as Prometheus read it from the exposition."""
        answer = ask_json(f"{self.url}/api/v1/metadata")
        return {name: entries[0]["type"] for name, entries in answer["data"].items()}

    def target(self) -> dict[str, Any]:
        (target,) = ask_json(f"{self.url}/api/v1/targets")["data"]["activeTargets"]
        return dict(target)


def start_prometheus(
    programs: Programs,
    *targets: str,
    rules: str = "",
    alertmanager: str = "",
    access: str = "",
    has_tasks: bool = False,
    scrapes_itself: bool = False,
    seconds: int = 1,
) -> Prometheus:
    """Start one that scrapes each of `targets` and evaluates the rules every `seconds`; addresses are `host:port`.

    `access` has further lines of the scrape jobs: by which scheme and as whom. With `has_tasks` a second job scrapes
    the series about single tasks, with `scrapes_itself` a third one a target that is no exporter.
    """
    program = needed_tool("prometheus")
    address = f"127.0.0.1:{free_port()}"
    url = f"http://{address}"
    configuration = programs.directory / "prometheus.yml"
    configuration.write_text(
        _CONFIGURATION.format(
            seconds=seconds,
            access=indent(access, "  "),
            targets=", ".join(f'"{target}"' for target in targets),
            task_targets=", ".join(f'"{target}"' for target in targets) if has_tasks else "",
            own=f'"{address}"' if scrapes_itself else "",
            alertmanagers=f'{{static_configs: [{{targets: ["{alertmanager}"]}}]}}' if alertmanager else "",
        )
    )
    (programs.directory / "prometheus-rules.yml").write_text(rules)
    data: Path = programs.directory / "prometheus"
    programs.start(
        program,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={data}",
        f"--web.listen-address={address}",
        "--log.level=error",
    )
    eventually(partial(is_ready, address))
    return Prometheus(url)


def is_ready(address: str) -> None:
    """Check that a server of Prometheus or Alertmanager is."""
    assert ask(f"http://{address}/-/ready").status == 200


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

    class Notified(Handler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.take(self.path.strip("/"), json.loads(body))
            self.respond()

    with serving_in_a_thread(Notified) as address:
        kept = Receiver(f"http://{address}")
        yield kept


def start_alertmanager(programs: Programs, receivers: str) -> str:
    """Start one with the shipped routes and inhibitions, but impatient; return its `host:port`.

    Args:
        programs: What starts and ends it.
        receivers: The URL below which each receiver has its path.
    """
    program = needed_tool("prometheus-alertmanager")
    configuration = programs.directory / "alertmanager.yml"
    document = read_yaml(ALERTMANAGER_FILE.read_text())
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
    eventually(partial(is_ready, address))
    return address


def _make_impatient(route: dict[str, Any]) -> None:
    """Let every notification of a route and its branches go out at once."""
    route |= {"group_wait": "100ms", "group_interval": "1s"}
    for branch in route.get("routes", ()):
        _make_impatient(branch)
