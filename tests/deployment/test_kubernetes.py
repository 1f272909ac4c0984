"""deploy/kubernetes: valid by Kubernetes' own schemas, and in step with the processes and their settings."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.processes import commands
from runtime.http.metrics_server import PORT_OFFSETS
from runtime.settings import SETTING_NAMES
from tests.deployment.kubernetes_schemas import SCHEMAS

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "kubernetes"
KUBECTL = shutil.which("kubectl") or shutil.which("kustomize")
KEDA = {
    "ScaledObject": {
        "type": "object",
        "required": ["scaleTargetRef", "triggers"],
        "additionalProperties": False,
        "properties": {
            "scaleTargetRef": {"type": "object", "required": ["name"]},
            **{
                name: {"type": "integer"}
                for name in ("minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod")
            },
            "triggers": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["type", "metadata"],
                    "additionalProperties": False,
                    "properties": {
                        "type": {"enum": ["prometheus", "postgresql"]},
                        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                        "authenticationRef": {"type": "object", "required": ["name"]},
                    },
                },
            },
        },
    },
    "TriggerAuthentication": {
        "type": "object",
        "required": ["secretTargetRef"],
        "properties": {
            "secretTargetRef": {"type": "array", "items": {"type": "object", "required": ["parameter", "name", "key"]}}
        },
    },
}
"""What KEDA's own definitions ask of the `spec` of these kinds, as far as we use them."""


def objects(*files: Path) -> Iterator[dict[str, Any]]:
    for file in files or sorted(FOLDER.rglob("*.yaml")):
        if file.name != "kustomization.yaml":
            yield from (each for each in yaml.safe_load_all(file.read_text()) if each)


def base(name: str) -> dict[str, Any]:
    return next(objects(FOLDER / "base" / f"{name}.yaml"))


def container(name: str) -> dict[str, Any]:
    (only,) = base(name)["spec"]["template"]["spec"]["containers"]
    return dict(only)


def validate(each: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    if each["apiVersion"].startswith("keda.sh/"):
        jsonschema.Draft202012Validator(KEDA[each["kind"]]).validate(each["spec"])
        return
    schemas = json.loads(SCHEMAS.read_text())
    definition = schemas["$defs"][schemas["kinds"][each["kind"]]]
    jsonschema.Draft202012Validator({**definition, "$defs": schemas["$defs"]}).validate(each)


@pytest.mark.parametrize("each", list(objects()), ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_an_object_is_valid(each: dict[str, Any]) -> None:
    validate(each)


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec.update(replicas="two"),
        lambda spec: spec.update(replica=2),
        lambda spec: spec["template"]["spec"]["containers"][0]["livenessProbe"].update(path="/healthz"),
        lambda spec: spec["template"]["spec"].pop("containers"),
    ],
)
def test_the_schemas_find_a_mistake(change: Any) -> None:
    jsonschema, deployment = pytest.importorskip("jsonschema"), base("worker")
    change(deployment["spec"])
    with pytest.raises(jsonschema.ValidationError):
        validate(deployment)


@pytest.mark.skipif(not KUBECTL, reason="neither kubectl nor kustomize is installed")
@pytest.mark.parametrize("keda", ["keda-prometheus", "keda-postgresql"])
def test_kustomize_builds_the_example(keda: str, tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "kubernetes")
    example = tmp_path / "kubernetes" / "example"
    (example / "secrets").mkdir(exist_ok=True)
    for name in ("WEBHOOK_KEYS", "BODY_KEYS", "DATABASE_URL", "REDIS_URL"):
        (example / "secrets" / name).write_text("sample")
    file = example / "kustomization.yaml"
    file.write_text(file.read_text().replace("- ../keda-prometheus", f"- ../{keda}"))
    command = [str(KUBECTL), *(["kustomize"] if Path(str(KUBECTL)).name == "kubectl" else ["build"]), str(example)]
    built = list(yaml.safe_load_all(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    for each in built:
        validate(each)
        assert each["kind"] == "Namespace" or each["metadata"]["namespace"] == "meetergo-inbox"
    names = {each["metadata"]["name"] for each in built if each["kind"] in ("Secret", "ConfigMap")}
    named = [each for each in built if each["metadata"]["name"] == "meetergo-inbox-worker"]
    pod = next(each for each in named if each["kind"] == "Deployment")["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"].startswith("registry.example.com/meetergo-inbox:")
    config = pod["containers"][0]["envFrom"][0]["configMapRef"]["name"]
    assert {config, pod["volumes"][0]["secret"]["secretName"]} == names


@pytest.mark.parametrize(
    ("name", "process"), [("receiver", "web"), ("worker", "worker"), ("scheduler", "cron"), ("migrate", "release")]
)
def test_a_container_runs_what_the_procfile_runs(name: str, process: str) -> None:
    assert " ".join(container(name)["command"]) == commands()[process]


@pytest.mark.parametrize(("name", "kind"), [("receiver", "web"), ("worker", "worker"), ("scheduler", "cron")])
def test_probes_ask_over_http_and_metrics_are_where_the_process_serves_them(name: str, kind: Any) -> None:
    only, ports = container(name), {port["name"]: port["containerPort"] for port in container(name)["ports"]}
    assert ports["metrics"] == 9100 + PORT_OFFSETS[kind]
    port = "http" if name == "receiver" else "metrics"
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert only[probe]["httpGet"] == {"path": path, "port": port}
    annotations = base(name)["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports["metrics"])


def test_variables_are_settings_and_secrets_come_from_files() -> None:
    for name in ("receiver", "worker", "scheduler", "migrate", "console"):
        pod = base(name)["spec"]["template"]["spec"]
        for variable in container(name)["env"]:
            assert variable["name"].removesuffix("_FILE") in SETTING_NAMES
        files = {variable["value"] for variable in container(name)["env"] if "value" in variable}
        mounted = {f"/run/secrets/{item['path']}" for item in pod["volumes"][0]["secret"]["items"]}
        assert files == mounted
        assert pod["securityContext"]["runAsUser"] == 10001
        assert container(name)["securityContext"]["readOnlyRootFilesystem"]


@pytest.mark.parametrize("name", ["receiver", "worker", "scheduler", "migrate", "console"])
def test_no_service_of_the_namespace_sets_a_setting(name: str) -> None:
    """For one called `api`, Kubernetes would set API_PORT to tcp://10.0.0.1:80 in every container."""
    assert base(name)["spec"]["template"]["spec"]["enableServiceLinks"] is False


def test_receiver_and_workers_have_a_disruption_budget() -> None:
    for name in ("receiver", "worker"):
        deployment, budget, *_ = objects(FOLDER / "base" / f"{name}.yaml")
        assert budget["kind"] == "PodDisruptionBudget"
        assert budget["spec"]["selector"] == deployment["spec"]["selector"]
        assert deployment["spec"]["replicas"] > 1
