"""Turns the objectives of deploy/slo.yml into Prometheus rules and a Grafana dashboard (docs/slo.md)."""

from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
OBJECTIVES = DEPLOY / "slo.yml"
RULES = DEPLOY / "prometheus" / "rules" / "slo.yml"
