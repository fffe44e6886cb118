"""A real Prometheus that scrapes exporters, and what it answers."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import indent
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.support.http import ask, ask_json
from tests.support.processes import Programs, eventually, free_port
from tests.support.tools import needed_tool

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
        """Return what it says of the one target."""
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

    def is_ready() -> None:
        assert ask(f"{url}/-/ready").status == 200

    eventually(is_ready)
    return Prometheus(url)
