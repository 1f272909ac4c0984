"""docker-compose.yml and the files beside it: valid by the Compose Specification, and complete. Needs no Docker."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from operations.settings import ConsoleSettings, ProviderSettings, RegistrationSettings
from operations.status import StatusSettings
from worker import hook
from worker.settings import ScheduleSettings

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "compose"
BASE = ROOT / "docker-compose.yml"
OVERRIDES = sorted(FOLDER.glob("*.yml"))
SCHEMA = ROOT / "tests" / "fixtures" / "schemas" / "compose-spec.json"
"""Of github.com/compose-spec/compose-spec (Apache-2.0)."""
VALUES = {
    "WEBHOOK_KEYS": "k" * 32,
    "BODY_KEYS": "b",
    "POSTGRES_PASSWORD": "p",
    "REDIS_PASSWORD": "r",
    "HOOK_FOLDER": "/srv/hook",
}
VARIABLE = re.compile(r"\$\$|\$\{(\w+)((?::?[-?])?)((?:[^${}]|\$\{[^{}]*\})*)\}")


class Loader(yaml.SafeLoader):
    """Reads Compose's own tags: `!reset` removes, `!override` replaces."""


def _value(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else None


for tag in ("!reset", "!override"):
    Loader.add_constructor(tag, _value)


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.load(path.read_text(), Loader)
    for service in document["services"].values():
        for name in [name for name, value in service.items() if value is None]:
            del service[name]  # `!reset null`
    return document


def interpolate(text: str, values: dict[str, str]) -> str:
    """Fill in variables as Compose does, also those in defaults: with `:-` and `:?` an empty value counts as none."""

    def fill(match: re.Match[str]) -> str:
        name, kind, rest = match[1], match[2], match[3]
        if name is None:
            return "$"
        value = values.get(name, "")
        if value:
            return value
        if kind.endswith("?"):
            raise LookupError(f"{name}: {rest}")
        return interpolate(rest, values)

    return VARIABLE.sub(fill, text)


def environment(service: str, **values: str) -> dict[str, str]:
    given: dict[str, str] = load(BASE)["services"][service]["environment"]
    return {name: interpolate(value, VALUES | values) for name, value in given.items()}


@pytest.mark.parametrize("path", [BASE, *OVERRIDES], ids=lambda path: path.name)
def test_a_file_is_valid_by_the_compose_specification(path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    document = load(path)
    jsonschema.Draft201909Validator(json.loads(SCHEMA.read_text())).validate(document)
    assert set(document["services"]) <= set(load(BASE)["services"])


def test_the_schema_finds_a_mistake() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    document = load(BASE)
    document["services"]["receiver"]["health_check"] = {}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft201909Validator(json.loads(SCHEMA.read_text())).validate(document)


def test_compose_itself_accepts_the_files() -> None:
    found = [["docker", "compose"], ["docker-compose"]]
    usable = [
        command
        for command in found
        if shutil.which(command[0])
        and b"v2" in subprocess.run([*command, "version"], capture_output=True, check=False).stdout
    ]
    if not usable:
        pytest.skip("Docker Compose is not installed")
    for override in OVERRIDES:
        files = ["-f", str(BASE), "-f", str(override)]
        done = subprocess.run(
            [*usable[0], *files, "config", "-q"], env={"PATH": "/usr/bin:/bin", **VALUES}, check=False
        )
        assert done.returncode == 0, override


def test_the_console_has_every_setting_that_a_command_reads() -> None:
    classes = [ConsoleSettings, RegistrationSettings, StatusSettings, ProviderSettings, ScheduleSettings]
    read = {name.upper() for settings in classes for name in settings.model_fields} | {"MEETERGO_API_KEY_EXPIRES"}
    assert read - set(environment("console")) <= {"METRICS_PORT", "METRICS_HOST"}


def test_the_tools_start_only_when_they_are_asked_for() -> None:
    profiles = {name: service.get("profiles") for name, service in load(BASE)["services"].items()}
    assert {name: each for name, each in profiles.items() if each} == {
        "console": ["tools"],
        "caddy": ["https"],
        "dashboard": ["dashboard"],
        "api": ["api"],
    }


def test_the_stores_are_composes_own_unless_others_are_named() -> None:
    assert environment("worker")["DATABASE_URL"] == "postgresql://inbox:p@postgres/inbox"
    assert environment("worker")["REDIS_URL"] == "redis://:r@redis:6379/0"
    own = environment("worker", DATABASE_URL="postgres://u:s@db/x", REDIS_URL="rediss://cache", POSTGRES_PASSWORD="")
    assert (own["DATABASE_URL"], own["REDIS_URL"]) == ("postgres://u:s@db/x", "rediss://cache")
    with pytest.raises(LookupError, match=r"POSTGRES_PASSWORD: set it in \.env"):
        environment("worker", POSTGRES_PASSWORD="")


def test_with_ones_own_stores_nothing_waits_for_those_of_compose() -> None:
    override = load(FOLDER / "own-stores.yml")["services"]
    assert override["postgres"]["profiles"] == override["redis"]["profiles"] == ["unused"]
    for name, service in load(BASE)["services"].items():
        if {"postgres", "redis"} & set(service.get("depends_on", {})):
            waits_for = override[name]["depends_on"]
            assert not {"postgres", "redis"} & set(waits_for or {})
    text = (FOLDER / "own-stores.yml").read_text()
    assert len(re.findall(r"depends_on: !(?:reset|override)", text)) == 2


def test_secrets_from_files_replace_those_of_the_environment() -> None:
    base, override = load(BASE)["services"], load(FOLDER / "secrets.yml")["services"]
    for name, service in base.items():
        for secret in {"WEBHOOK_KEYS", "BODY_KEYS"} & set(service.get("environment", {})):
            assert override[name]["environment"][secret] == ""
            assert override[name]["environment"][f"{secret}_FILE"] == f"/run/secrets/{secret.lower()}"
            assert secret.lower() in override[name]["secrets"]


def test_caddy_gets_a_certificate_for_the_public_url_and_no_log_of_its_own() -> None:
    assert environment("caddy", PUBLIC_URL="https://inbox.example.com")["SITE"] == "https://inbox.example.com"
    assert environment("caddy", PUBLIC_URL="https://a", SITE="b")["SITE"] == "b"
    (caddyfile, _) = load(BASE)["services"]["caddy"]["volumes"]
    assert (ROOT / caddyfile.partition(":")[0]).exists()


def test_the_image_is_on_a_current_python_with_hashes() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert set(re.findall(r"^FROM python:(\S+)", dockerfile, re.MULTILINE)) == {"3.14-slim"}
    assert "--require-hashes -r requirements.hashes.txt" in dockerfile
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {line.split()[1] for line in dockerfile.splitlines() if re.match(r"COPY [^-]", line)}
    assert copied == allowed - {"requirements-otel.txt"}


def test_the_image_can_be_read_by_its_user_whatever_the_umask_of_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "runtime").mkdir(mode=0o700)
    (tmp_path / "runtime" / "version.py").touch(0o600)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    last_steps = (ROOT / "Dockerfile").read_text().rpartition("\nCOPY ")[2]
    for command in re.findall(r"^RUN (.*)$", last_steps, re.MULTILINE):
        subprocess.run(command, shell=True, check=True, cwd=tmp_path, umask=0o022, env={"PATH": path})
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert (modes["runtime"], modes["version.py"]) == (0o755, 0o644)
    assert "RUN chmod -R a+rX /platform" in (FOLDER / "Dockerfile.platform").read_text()


def test_the_image_with_traces_can_copy_what_it_needs() -> None:
    section = (ROOT / "docs" / "operations.md").read_text().partition("## Traces")[2].partition("\n## ")[0]
    (copied,) = re.findall(r"^COPY (\S+) \.$", section, re.MULTILINE)
    assert f"!{copied}" in (ROOT / ".dockerignore").read_text().splitlines()


def test_the_hook_that_the_sample_names_is_in_the_folder_that_it_mounts(tmp_path: Path) -> None:
    """A path that is relative would begin at the image's folder."""
    sample, target = (FOLDER / "hook.yml").read_text(), "/platform"
    assert f"}}:{target}:ro" in sample
    (tmp_path / "hook.py").write_text("def changed(session, booking, change):\n    pass\n")
    for text in (sample, (ROOT / "docs" / "deployment.md").read_text()):
        [path] = re.findall(r"PLATFORM_HOOK=(\S+:changed)", text)
        assert path.startswith(f"{target}/")
        assert hook.load(path.replace(target, str(tmp_path)))
