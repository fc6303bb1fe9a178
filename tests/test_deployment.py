"""deployment=kubernetes: the manifests are valid, restricted, and fit the server's code.

The schemas of kubernetes-validate know Kubernetes' own kinds, not a ServiceMonitor. No cluster and
no kustomize has read them.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Render
from templates import commit, git
from toys import cli

LINE_LENGTH = "{extends: default, rules: {line-length: {max: 100}}}"
OLDEST, NEWEST = "1.30", "1.37"


@pytest.fixture(scope="module", params=["fastapi", "bentoml"])
def project(request: pytest.FixtureRequest, render: Render) -> Path:
    """A project of either server whose name is no DNS label."""
    return render(package_name="my_model_", serving=request.param, deployment="kubernetes")


@pytest.fixture(scope="module")
def kinds(project: Path) -> dict[str, Any]:
    """The resources by their kind."""
    documents = (
        document
        for path in (project / "deploy" / "kubernetes").glob("*.yaml")
        for document in yaml.safe_load_all(path.read_text())
    )
    return {document["kind"]: document for document in documents}


def passes(*command: str, cwd: Path) -> None:
    """Fail with what the command printed, unless it ends with 0."""
    program = str(Path(sys.executable).with_name(command[0]))
    done = subprocess.run([program, *command[1:]], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_resources_follow_the_schemas_of_kubernetes(project: Path, version: str) -> None:
    path = "deploy/kubernetes/server.yaml"
    passes("kubernetes-validate", "--strict", "-k", version, path, cwd=project)


def test_yamllint_finds_nothing(project: Path) -> None:
    passes("yamllint", "--strict", "-d", LINE_LENGTH, "deploy", cwd=project)


def test_there_is_each_kind_once(kinds: dict[str, Any]) -> None:
    assert set(kinds) == {
        *("Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"),
        *("NetworkPolicy", "ServiceMonitor", "Kustomization"),
    }
    names = {one["metadata"]["name"] for kind, one in kinds.items() if kind != "Kustomization"}
    assert names == {"my-model"}


def test_selectors_find_the_pods(kinds: dict[str, Any]) -> None:
    labels = kinds["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert kinds["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert kinds["Service"]["spec"]["selector"] == labels
    assert kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    monitored = kinds["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
    assert monitored == kinds["Service"]["metadata"]["labels"]
    target = kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", "my-model")


def test_the_kustomization_lists_the_files_and_renames_the_image(
    project: Path, kinds: dict[str, Any]
) -> None:
    files = {path.name for path in (project / "deploy" / "kubernetes").glob("*.yaml")}
    assert {*kinds["Kustomization"]["resources"], "kustomization.yaml"} == files
    [image] = kinds["Kustomization"]["images"]
    assert container(kinds)["image"] == image["name"]
    assert f"{image['newName']}:{image['newTag']}" in (project / "README.md").read_text()


def test_the_pods_meet_the_restricted_standard(kinds: dict[str, Any]) -> None:
    pod, one = kinds["Deployment"]["spec"]["template"]["spec"], container(kinds)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {*one["resources"]["requests"]} == {"cpu", "memory"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & {*pod}
    assert all({*volume} <= {"name", "emptyDir"} for volume in pod["volumes"])


def test_ports_and_paths_are_those_of_the_server(project: Path, kinds: dict[str, Any]) -> None:
    [port] = container(kinds)["ports"]
    assert port == {"name": "http", "containerPort": 8000}
    [service] = kinds["Service"]["spec"]["ports"]
    assert service["targetPort"] == "http"
    [[allowed]] = (rule["ports"] for rule in kinds["NetworkPolicy"]["spec"]["ingress"])
    assert allowed == {"port": "http"}
    [endpoint] = kinds["ServiceMonitor"]["spec"]["endpoints"]
    assert endpoint["port"] == service["name"]
    probes = {name: probe["httpGet"] for name, probe in container(kinds).items() if "Probe" in name}
    assert {probe["port"] for probe in probes.values()} == {"http"}
    paths = {name: probe["path"] for name, probe in probes.items()}
    assert paths == {
        "startupProbe": "/ready",
        "readinessProbe": "/ready",
        "livenessProbe": "/health",
    }
    code = "".join(path.read_text() for path in (project / "src").rglob("serving/**/*.py"))
    for path in {*paths.values(), endpoint["path"]}:
        assert re.search(rf'get\("{path}"[,)]|async def {path[1:]}\(request', code)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_lines_of_the_readme_open_the_policy(
    project: Path, tmp_path: Path, version: str
) -> None:
    manifest, readme = (
        (project / path).read_text() for path in ("deploy/kubernetes/server.yaml", "README.md")
    )
    [block] = re.findall(r"^```yaml\n(  egress:.*?)\n```$", readme, re.MULTILINE | re.DOTALL)
    opened = manifest.replace("  egress: []", block)
    assert opened != manifest
    (tmp_path / "server.yaml").write_text(opened)
    passes("kubernetes-validate", "--strict", "-k", version, "server.yaml", cwd=tmp_path)
    passes("yamllint", "--strict", "-d", LINE_LENGTH, "server.yaml", cwd=tmp_path)
    [policy] = [one for one in yaml.safe_load_all(opened) if one["kind"] == "NetworkPolicy"]
    *others, collector = policy["spec"]["egress"]
    assert [port["port"] for rule in others for port in rule["ports"]] == [53, 53, 443]
    [namespace] = (one["namespaceSelector"]["matchLabels"] for one in collector["to"])
    host = f"collector.{namespace['kubernetes.io/metadata.name']}"
    [port] = (one["port"] for one in collector["ports"])
    assert f"`deployment.otlp_endpoint=http://{host}:{port}`" in readme


def test_the_image_listens_on_the_port_and_runs_as_the_user(
    project: Path, kinds: dict[str, Any]
) -> None:
    user = kinds["Deployment"]["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
    if (project / "bentofile.yaml").exists():
        variables = {one["name"]: one["value"] for one in container(kinds)["env"]}
        assert (variables["PORT"], user) == ("8000", 1034)  # BentoML's image says so
        return
    dockerfile = (project / "Dockerfile").read_text()
    assert re.findall(r"^EXPOSE (\d+)$", dockerfile, re.MULTILINE) == ["8000"]
    assert '"serving.port=8000"' in dockerfile
    assert re.findall(r"^USER (\d+)$", dockerfile, re.MULTILINE) == [str(user)]


def test_a_pod_is_not_killed_before_the_server_ends(project: Path, kinds: dict[str, Any]) -> None:
    [path] = (project / "configs" / "serving").glob("*.yaml")
    code = (project / "src" / "my_model_" / "serving" / "config.py").read_text()
    [default_s] = re.findall(r"shutdown_timeout_s: PositiveFloat = ([\d.]+)", code)
    timeout_s = yaml.safe_load(path.read_text()).get("shutdown_timeout_s", float(default_s))
    before_s = container(kinds)["lifecycle"]["preStop"]["sleep"]["seconds"]
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > before_s + timeout_s


@pytest.mark.parametrize(
    ("serving", "works_in"), [("fastapi", "/app"), ("bentoml", "/home/bentoml/bento/src")]
)
def test_a_pod_may_write_its_prediction_log(serving: str, works_in: str, render: Render) -> None:
    project = render(serving=serving, deployment="kubernetes", monitoring="drift")
    test_the_resources_follow_the_schemas_of_kubernetes(project, NEWEST)
    test_yamllint_finds_nothing(project)
    [pods, *_] = yaml.safe_load_all((project / "deploy/kubernetes/server.yaml").read_text())
    pod = pods["spec"]["template"]["spec"]
    mounts = {one["name"]: one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}
    settings = yaml.safe_load((project / "configs/monitoring/drift.yaml").read_text())
    assert mounts == {"tmp": "/tmp", "logs": f"{works_in}/{settings['folder']}"}
    [size] = [one["emptyDir"]["sizeLimit"] for one in pod["volumes"] if one["name"] == "logs"]
    assert int(size.removesuffix("Mi")) * 2**20 > 2.2 * settings["max_bytes"]


def test_the_choice_can_be_made_later_and_unmade(render: Render) -> None:
    project = render(with_git=True)
    before = git(project, "write-tree")
    assert cli("set", "deployment=kubernetes", "--project", project).exit_code == 0
    assert (project / "deploy/kubernetes/server.yaml").exists()
    commit(project)
    assert cli("set", "deployment=none", "--project", project).exit_code == 0
    assert git(project, "write-tree") == before and not (project / "deploy").exists()


def container(kinds: dict[str, Any]) -> dict[str, Any]:
    """The only container of the pods."""
    [one] = kinds["Deployment"]["spec"]["template"]["spec"]["containers"]
    return one
