"""Tests of the RAM policy: the least that the exporter can do with."""

import json
from typing import Final

from exporter.simulator.service import ACTION
from tests.support.processes import ROOT

STATEMENT: Final = {"Effect": "Allow", "Action": f"live:{ACTION}", "Resource": "*"}
POLICY: Final = json.loads((ROOT / "deploy" / "ram" / "policy.json").read_text())


def test_it_allows_one_action_and_nothing_else() -> None:
    """One statement, one action by its whole name: the one that the service in the API's place answers."""
    assert sorted(POLICY) == ["Statement", "Version"]
    assert POLICY["Version"] == "1"
    assert POLICY["Statement"] == [STATEMENT]
