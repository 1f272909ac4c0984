"""Write tests/fixtures/schemas/kubernetes.json: the schemas of the kinds that deploy/kubernetes uses.

They are those that kubernetes-validate ships, without descriptions, so that tests need no package of 70 MB:

    pip download --no-deps kubernetes-validate==1.37.0
    python -m tests.deployment.kubernetes_schemas kubernetes_validate-1.37.0-py3-none-any.whl
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

SCHEMAS = Path(__file__).parent.parent / "fixtures" / "schemas" / "kubernetes.json"
FOLDER = "kubernetes_validate/kubernetes-json-schema/v1.34.0-local-strict"
KINDS = {
    "ConfigMap": "io.k8s.api.core.v1.ConfigMap",
    "Deployment": "io.k8s.api.apps.v1.Deployment",
    "Ingress": "io.k8s.api.networking.v1.Ingress",
    "Job": "io.k8s.api.batch.v1.Job",
    "Namespace": "io.k8s.api.core.v1.Namespace",
    "PodDisruptionBudget": "io.k8s.api.policy.v1.PodDisruptionBudget",
    "Secret": "io.k8s.api.core.v1.Secret",
    "Service": "io.k8s.api.core.v1.Service",
}


def main(wheel: str) -> None:
    with ZipFile(wheel) as archive:
        definitions = json.loads(archive.read(f"{FOLDER}/_definitions.json"))["$defs"]
    used: dict[str, Any] = {}
    names = list(KINDS.values())
    while names:
        name = names.pop()
        if name not in used:
            used[name] = without_texts(definitions[name])
            names.extend(references(used[name]))
    document = {"kinds": KINDS, "$defs": dict(sorted(used.items()))}
    text = json.dumps(document, separators=(",", ":")).replace("_definitions.json#/", "#/")
    SCHEMAS.write_text(text.replace('"io.k8s', '\n"io.k8s') + "\n")


def without_texts(part: Any) -> Any:
    if isinstance(part, dict):
        kept = {name: value for name, value in part.items() if not (name == "description" and isinstance(value, str))}
        return {name: without_texts(value) for name, value in kept.items() if not name.startswith("x-kubernetes")}
    return [without_texts(each) for each in part] if isinstance(part, list) else part


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"].rpartition("/")[2]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each)


if __name__ == "__main__":
    main(sys.argv[1])
