"""The Helm chart as Helm's own library renders it, and Kubernetes objects: are they valid, and what does a pod see?"""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import jsonschema
import kubernetes_validate
import yaml
from helm_python import Chart

from tests.support.configurations import read_yaml
from tests.support.processes import ROOT

KUBERNETES_VERSIONS: Final = ("1.25", "1.37")  # the oldest and the newest that the schemas are checked for
_CUSTOM_RESOURCES: Final = Path(__file__).parent / "custom_resources"

CHART: Final = ROOT / "deploy/helm/rtcmpu-exporter"
CI_VALUES: Final = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*.yaml"))}
RELEASE: Final = "rtcmpu"
NAMESPACE: Final = "monitoring"
LEAST: Final = {"config": {"accounts": [{"name": "production", "apps": [{"id": "live-main"}]}]}}
"""The least values that can be installed."""

Manifest: TypeAlias = dict[str, Any]


class StrictLoader(yaml.CSafeLoader):
    """Refuses a key that a mapping has twice, as strict readers of manifests do."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) != len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key is there twice", node.start_mark)
        return mapping


def manifests_of(text: str) -> Iterator[Manifest]:
    """Yield the objects of a stream of YAML documents, in which no mapping has a key twice."""
    return (document for document in yaml.load_all(text, StrictLoader) if document)


def validate(manifest: Manifest) -> None:
    """Check an object against the schema of its kind, where no key may be unknown.

    Raises:
        jsonschema.ValidationError: It does not fit.
    """
    if manifest["apiVersion"] == "monitoring.coreos.com/v1":
        _custom_resource(manifest["kind"]).validate(manifest)
        return
    for version in KUBERNETES_VERSIONS:
        kubernetes_validate.validate(manifest, version, strict=True)


@cache
def _custom_resource(kind: str) -> jsonschema.Draft202012Validator:
    text = (_CUSTOM_RESOURCES / f"{kind.lower()}.yml").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(read_yaml(text))


def of_kind(manifests: Iterable[Manifest], kind: str) -> Sequence[Manifest]:
    """Return the objects of one kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def one(manifests: Iterable[Manifest], kind: str) -> Manifest:
    """Return the only object of a kind."""
    (manifest,) = of_kind(manifests, kind)
    return manifest


def pod_of(manifests: Iterable[Manifest]) -> Manifest:
    """Return the pod's specification of the only Deployment."""
    specification: Manifest = one(manifests, "Deployment")["spec"]["template"]["spec"]
    return specification


def exporter_of(manifests: Iterable[Manifest]) -> Manifest:
    """Return the exporter's container."""
    (container,) = [container for container in pod_of(manifests)["containers"] if container["name"] == "exporter"]
    return dict(container)


def write_mounts(manifests: Sequence[Manifest], root: Path) -> None:
    """Write below `root` every file that the exporter's container has by volumes of these objects.

    Raises:
        KeyError: A volume names an object or a key that is not there.
    """
    contents = {
        (manifest["kind"], manifest["metadata"]["name"]): _data(manifest)
        for kind in ("ConfigMap", "Secret")
        for manifest in of_kind(manifests, kind)
    }
    volumes = {volume["name"]: volume for volume in pod_of(manifests)["volumes"]}
    for mount in exporter_of(manifests)["volumeMounts"]:
        directory = root / mount["mountPath"].lstrip("/")
        directory.mkdir(parents=True)
        for key, items in _sources(volumes[mount["name"]]):
            data = contents[key]
            for name, path in items or [(name, name) for name in data]:
                (directory / path).parent.mkdir(parents=True, exist_ok=True)
                (directory / path).write_text(data[name], encoding="utf-8")


def named_file(manifests: Sequence[Manifest], flag: str, root: Path) -> Path:
    """Return where the file is that a flag of the container names, when the mounts are below `root`."""
    (name,) = [words[1] for words in map(_split, exporter_of(manifests)["args"]) if words[0] == flag]
    return root / name.lstrip("/")


def _split(argument: str) -> list[str]:
    return argument.split("=", 1)


def _data(manifest: Manifest) -> Mapping[str, str]:
    encoded = manifest.get("data", {}) if manifest["kind"] == "Secret" else {}
    return {
        **({} if manifest["kind"] == "Secret" else manifest["data"]),
        **{name: base64.b64decode(text).decode() for name, text in encoded.items()},
        **manifest.get("stringData", {}),
    }


def _sources(volume: Manifest) -> Iterator[tuple[tuple[str, str], Sequence[tuple[str, str]]]]:
    """Yield the objects that a volume is made of, each with its keys and the paths that these get."""
    for source in volume.get("projected", {}).get("sources", [volume]):
        if "configMap" in source:
            reference, kind = source["configMap"], "ConfigMap"
        elif "secret" in source:
            reference, kind = source["secret"], "Secret"
        else:
            continue
        name = reference.get("name") or reference["secretName"]
        yield (kind, name), [(item["key"], item["path"]) for item in reference.get("items", ())]


@cache
def chart() -> Chart:
    """Return the chart."""
    return Chart.load(CHART)


def ci_values(name: str) -> dict[str, Any]:
    """Return the values of a file of `ci/`."""
    values: dict[str, Any] = read_yaml(CI_VALUES[name].read_text(encoding="utf-8"))
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
