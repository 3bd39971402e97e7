"""deploy/kubernetes against Kubernetes' published schemas, and against the rest of the project.

Those of the Prometheus operator's two kinds are in operator_schemas.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from django.conf import settings

from amani.settings import env
from local import kubernetes_rules
from tests import operator_schemas

ROOT = Path(settings.BASE_DIR)
BASE = ROOT / "deploy" / "kubernetes"
DOCUMENT = (ROOT / "docs" / "deployment-kubernetes.md").read_text()
KUSTOMIZATION = yaml.safe_load((BASE / "kustomization.yaml").read_text())
VERSIONS = ("1.29", "1.37")
LABELS = KUSTOMIZATION["labels"][0]["pairs"]
COMPONENT = "app.kubernetes.io/component"


def documents() -> Iterator[dict[str, Any]]:
    for name in KUSTOMIZATION["resources"]:
        yield from yaml.safe_load_all((BASE / name).read_text())


ALL = list(documents())
PODS = {
    one["metadata"]["name"]: one["spec"]["template"] for one in ALL if one["kind"] in {"Deployment", "Job"}
}
RUNNING = [name for name in PODS if name != "amani-migrate"]


def one(kind: str, name: str) -> dict[str, Any]:
    [found] = [found for found in ALL if (found["kind"], found["metadata"]["name"]) == (kind, name)]
    return found


def container(name: str) -> dict[str, Any]:
    [found] = PODS[name]["spec"]["containers"]
    return dict(found)


def test_kustomization_lists_every_file() -> None:
    listed = {*KUSTOMIZATION["resources"], *KUSTOMIZATION["configMapGenerator"][0]["envs"]}
    assert listed == {path.name for path in BASE.iterdir()} - {"kustomization.yaml"}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_resource_of_kubernetes_is_valid(version: str) -> None:
    checked = [found for found in ALL if "coreos.com" not in found["apiVersion"]]
    assert len(checked) == len(ALL) - len(operator_schemas.SPECS)
    for found in checked:
        assert kubernetes_validate.validate(found, version, strict=True) == version


def test_the_schemas_notice_a_wrong_field() -> None:
    wrong = one("Deployment", "amani-web") | {"spec": {"replicas": "two", "templates": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("kind", operator_schemas.SPECS)
def test_resources_of_the_prometheus_operator_are_valid(kind: str) -> None:
    spec = one(kind, "amani")["spec"]
    jsonschema.validate(spec, operator_schemas.SPECS[kind])
    for group in spec.get("groups", []):
        for rule in group["rules"]:
            assert ("alert" in rule) != ("record" in rule), rule


@pytest.mark.parametrize(
    "wrong",
    [
        {"groups": [{"name": "amani", "rules": [{"alert": "A", "for": "5m"}]}]},
        {"groups": [{"name": "amani", "rules": [{"alert": "A", "expr": "up == 0", "for": "5 minutes"}]}]},
        {"groups": [{"name": "amani", "rules": [{"alert": "A", "expr": "up", "labels": {"level": 1}}]}]},
        {"groups": [{"name": "amani", "rules": [{"alert": "A", "expr": "up", "runbook": "a"}]}]},
    ],
)
def test_the_schemas_of_the_operator_notice_what_is_wrong(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, operator_schemas.SPECS["PrometheusRule"])


def test_rules_are_those_of_deploy_prometheus() -> None:
    current = kubernetes_rules.TARGET.read_text() == kubernetes_rules.prometheus_rule()
    assert current, "Run `make kubernetes-rules`."


# --- pods ---


@pytest.mark.parametrize("name", PODS)
def test_a_pod_may_do_only_what_it_needs(name: str) -> None:
    pod, program = PODS[name]["spec"], container(name)
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert program["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(program["resources"]) == {"requests", "limits"}
    assert "memory" in program["resources"]["limits"]
    assert set(program["resources"]["requests"]) == {"cpu", "memory"}
    [metrics] = [volume for volume in pod["volumes"] if volume["name"] == "metrics"]
    assert metrics["emptyDir"]["medium"] == "Memory"
    mounts = {mount["name"]: mount["mountPath"] for mount in program["volumeMounts"]}
    assert mounts == {"metrics": configuration()["PROMETHEUS_MULTIPROC_DIR"], "temporary": "/tmp"}


def test_pods_run_as_the_user_of_the_image_with_its_commands() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    for pod in PODS.values():
        security = pod["spec"]["securityContext"]
        assert f"USER {security['runAsUser']}:{security['runAsGroup']}" in dockerfile.splitlines()
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name in ("worker", "beat"):
        without_option = [word for word in services[name]["command"] if word != "--quiet"]
        assert container(f"amani-{name}")["command"] == without_option
    assert json.dumps(container("amani-web")["command"]) in dockerfile


@pytest.mark.parametrize("name", RUNNING)
def test_a_pod_is_watched_and_scraped(name: str) -> None:
    program = container(name)
    [port] = program["ports"]
    listens = configuration()["WEB_BIND"] if name == "amani-web" else program["env"][0]["value"]
    assert listens == f"0.0.0.0:{port['containerPort']}"
    for probe in ("startupProbe", "livenessProbe"):
        request = program[probe]["httpGet"]
        assert request["port"] == port["name"]
        assert request["path"] in {"/livez", "/api/v1/ping"}
    assert ("readinessProbe" in program) == (name == "amani-web")
    monitor = one("PodMonitor", "amani")["spec"]
    assert port["name"] in {endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]}
    assert PODS[name]["metadata"]["labels"][COMPONENT] in monitor["selector"]["matchExpressions"][0]["values"]


def test_prometheus_sees_the_job_and_the_component_that_the_rules_name() -> None:
    monitor = one("PodMonitor", "amani")["spec"]
    assert LABELS[monitor["jobLabel"]] == "amani"
    for endpoint in monitor["podMetricsEndpoints"]:
        assert endpoint["relabelings"] == [
            {
                "sourceLabels": [f"__meta_kubernetes_pod_label_{re.sub(r'[./-]', '_', COMPONENT)}"],
                "targetLabel": "component",
            }
        ]


def test_every_selector_selects_one_deployment() -> None:
    selecting = [found for found in ALL if found["kind"] in {"Deployment", "PodDisruptionBudget", "Service"}]
    assert len(selecting) == 6
    for found in selecting:
        selector = found["spec"]["selector"]
        wanted = selector.get("matchLabels", selector).items()
        chosen = [name for name, pod in PODS.items() if wanted <= pod["metadata"]["labels"].items()]
        assert len(chosen) == 1, found["metadata"]["name"]


def test_an_upgrade_can_choose_by_component() -> None:
    components = {
        (found["kind"], found["metadata"]["name"]): found["metadata"]["labels"][COMPONENT] for found in ALL
    }
    assert set(components.values()) == {"migrate", "web", "worker", "beat", "monitoring"}
    for name, pod in PODS.items():
        [component] = {label for (_, owner), label in components.items() if owner == name}
        assert component == pod["metadata"]["labels"][COMPONENT]
    chosen = re.findall(r"component(?:=| in \()([a-z, ]+)", DOCUMENT)
    assert {part for group in chosen for part in group.split(", ")} <= set(components.values())


def test_there_is_one_beat_and_more_of_the_others() -> None:
    beat = one("Deployment", "amani-beat")["spec"]
    assert (beat["replicas"], beat["strategy"]["type"]) == (1, "Recreate")
    for name in ("amani-web", "amani-worker"):
        assert one("Deployment", name)["spec"]["replicas"] > 1
        assert one("PodDisruptionBudget", name)


# --- settings ---


def configuration() -> dict[str, str]:
    lines = (BASE / "amani.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def documented_secrets() -> dict[str, str]:
    return dict(re.findall(r"--from-literal=([A-Z_]+)='?([^' ]+)'?", DOCUMENT))


def test_the_base_and_the_documented_secrets_are_settings_and_enough_to_start() -> None:
    values = configuration() | documented_secrets()
    assert set(values) <= {*env.dump(), "WEB_BIND"}
    key = "b25seS1mb3ItdGhlLXRlc3QtMDEyMzQ1Njc4OTAxMjM="
    given = {name: value if "…" not in value else key for name, value in values.items()}
    environment = {"PATH": os.environ["PATH"], "AMANI_IGNORE_ENV_FILES": "1", **given}
    done = subprocess.run(
        [sys.executable, "-c", "import amani.settings as s; print(s.DEBUG, s.KYC_S3_BUCKET)"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"False {configuration()['KYC_S3_BUCKET']}\n", done.stderr
