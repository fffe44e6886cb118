"""A configuration to be shown: as YAML, complete, without its secrets."""

import yaml

from exporter.config.model import Config


def redacted(config: Config) -> str:
    """Return the configuration in effect as YAML, defaults included, each secret as `<secret>`."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)
