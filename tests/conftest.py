"""What holds for all tests."""

import os

from hypothesis import HealthCheck, settings

# How long an example takes says something about the machine, not about the law. Everywhere but in CI, each run looks
# for counterexamples where none has looked before; CI must say the same of the same commit.
settings.register_profile(
    "exporter",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("CI") == "true",
    print_blob=True,
)
settings.load_profile("exporter")
