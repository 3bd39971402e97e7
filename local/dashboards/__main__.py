"""Writes the dashboards: `python -m local.dashboards`; `--amani` is the address that their links lead to."""

import argparse
import json
from pathlib import Path

from local.dashboards import alert_pipeline, escrow, kyc, overview, postgresql, workers
from local.dashboards.grafana import AMANI_ADDRESS, Json
from local.slo import OBJECTIVES
from local.slo.dashboard import dashboard_of
from local.slo.objectives import read

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "dashboards"
DASHBOARDS: dict[str, Json] = {
    "amani_overview.json": overview.DASHBOARD,
    "kyc.json": kyc.DASHBOARD,
    "alert_pipeline.json": alert_pipeline.DASHBOARD,
    "workers_and_redis.json": workers.DASHBOARD,
    "postgresql.json": postgresql.DASHBOARD,
    "escrow_and_money.json": escrow.DASHBOARD,
    "slo.json": dashboard_of(read(OBJECTIVES.read_text())),
}


def written(dashboard: Json, amani: str = AMANI_ADDRESS) -> str:
    return json.dumps(dashboard, indent=2, ensure_ascii=False).replace(AMANI_ADDRESS, amani) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.dashboards", description=__doc__)
    parser.add_argument("--amani", default=AMANI_ADDRESS, help="default: %(default)s")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default: deploy/grafana/dashboards")
    chosen = parser.parse_args()
    for name, dashboard in DASHBOARDS.items():
        (chosen.folder / name).write_text(written(dashboard, chosen.amani))


if __name__ == "__main__":
    main()
