"""The Helm chart, rendered by Helm's own library without a cluster."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from helm_python import Chart

from tests.support.manifests import Manifest, manifests_of
from tests.support.processes import ROOT

CHART: Final = ROOT / "deploy/helm/rtcmpu-exporter"
CI_VALUES: Final = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*.yaml"))}
RELEASE: Final = "rtcmpu"
NAMESPACE: Final = "monitoring"
LEAST: Final = {"config": {"accounts": [{"name": "production", "apps": [{"id": "live-main"}]}]}}
"""The least values that can be installed."""


@cache
def chart() -> Chart:
    """Return the chart."""
    return Chart.load(CHART)


def ci_values(name: str) -> dict[str, Any]:
    """Return the values of a file of `ci/`."""
    values: dict[str, Any] = yaml.safe_load(CI_VALUES[name].read_text(encoding="utf-8"))
    return values


def rendered_files(values: Mapping[str, Any]) -> Mapping[str, str]:
    """Return what each template yields, by its name.

    Raises:
        HelmValuesError: The schema refuses the values.
        HelmRenderError: A template does.
    """
    texts = chart().render(dict(values), name=RELEASE, namespace=NAMESPACE)
    return {Path(name).name: text for name, text in texts.items()}


def objects_of(values: Mapping[str, Any]) -> Sequence[Manifest]:
    """Return the objects that would be installed with these values."""
    files = rendered_files(values)
    return [manifest for name, text in files.items() if name.endswith(".yaml") for manifest in manifests_of(text)]


def rendered(values: Mapping[str, Any] | None = None) -> Sequence[Manifest]:
    """Return the objects that would be installed with `LEAST` and these values on top."""
    return objects_of({**LEAST, **(values or {})})


@cache
def example(name: str) -> Sequence[Manifest]:
    """Return the objects that would be installed with a file of `ci/`; they are shared and not to be changed."""
    return objects_of(ci_values(name))
