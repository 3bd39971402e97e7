"""Writes the PrometheusRule of deploy/kubernetes from deploy/prometheus/rules/: `make kubernetes-rules`."""

import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "deploy" / "prometheus" / "rules"
TARGET = ROOT / "deploy" / "kubernetes" / "rules.yaml"
HEAD = "# Made by `make kubernetes-rules` from deploy/prometheus/rules/: change the rules there.\n"


class Dumper(yaml.SafeDumper):
    """Writes expressions of several lines as blocks, so that a change of one shows as a change of a line."""


def represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Dumper.add_representer(str, represent_text)


def prometheus_rule() -> str:
    """The text of the file: the groups of all rule files, in the order of their names."""
    groups: list[dict[str, Any]] = []
    for path in sorted(RULES.glob("*.yml")):
        groups += yaml.safe_load(path.read_text())["groups"]
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "amani", "labels": {"app.kubernetes.io/component": "monitoring"}},
        "spec": {"groups": groups},
    }
    return HEAD + yaml.dump(resource, Dumper=Dumper, sort_keys=False, width=110, allow_unicode=True)


def main() -> int:
    TARGET.write_text(prometheus_rule())
    return 0


if __name__ == "__main__":
    sys.exit(main())
