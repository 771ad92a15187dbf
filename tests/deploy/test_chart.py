"""What the chart renders, value by value."""
import re
import subprocess
import sys

import pytest
import yaml
from deploy_tools import CHART, ROOT, run
from programs import find_program, without_own_variables
from rendered import container, kinds, pod, server_config, workload
from value_matrix import EVERYTHING_ON, LOCAL_SOCKET, MATRIX, NO_GPU, SERVER_TLS

HELM_FOLDER = ROOT / "deploy/helm"
SET_BY_CHART = {"listen", "admin-listen", "insecure-listen", "grace-ms", "tls-certificate", "tls-key", "tls-client-ca",
                "tenants", "local-socket", "local-user", "map-entries"}
OF_TESTS = {"port-file", "admin-port-file"}


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_lint(helm, tmp_path, values):
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    run(helm, "lint", "--strict", CHART, "--values", file)


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_every_mount_has_its_volume_and_every_volume_is_mounted(render, values):
    for item in render(values).values():
        spec = item["spec"].get("template", {}).get("spec") or item["spec"] if "spec" in item else {}
        if "containers" not in spec:
            continue
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        mounts = [mount for found in spec["containers"] for mount in found.get("volumeMounts", [])]
        assert {mount["name"] for mount in mounts} == volumes
        paths = [mount["mountPath"] for mount in mounts]
        assert not [path for path in paths for other in paths if path.startswith(other + "/")], "nested mounts"


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_selectors_find_the_pods(render, values):
    objects = render(values)
    labels = workload(objects)["spec"]["template"]["metadata"]["labels"]
    selectors = [workload(objects)["spec"]["selector"]["matchLabels"]]
    for (kind, _), item in objects.items():
        if kind == "Service":
            selectors.append(item["spec"]["selector"])
        if kind == "NetworkPolicy":
            selectors.append(item["spec"]["podSelector"]["matchLabels"])
        if kind == "PodDisruptionBudget":
            selectors.append(item["spec"]["selector"]["matchLabels"])
        if kind == "Pod":
            assert not item["metadata"]["labels"].items() >= selectors[0].items(), "the test pod is behind the service"
    assert all(labels.items() >= selector.items() for selector in selectors)


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_no_pod_is_privileged(render, values):
    spec = pod(render(values))
    assert spec["securityContext"]["runAsNonRoot"] and not spec["automountServiceAccountToken"]
    assert not {"hostIPC", "hostPID", "hostNetwork"} & spec.keys()
    context = spec["containers"][0]["securityContext"]
    assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]} and "privileged" not in context


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_the_server_takes_its_configuration(render, tmp_path, values):
    file = tmp_path / "server.toml"
    text = server_config(render(values))
    file.write_text(text)
    server = find_program("CHUNKKV_SERVER", "service/chunkkv-server")
    printed = run(server, "--config", file, "--print-config", env=without_own_variables()).stdout
    effective = dict(line.split("=", 1) for line in printed.splitlines() if re.match(r"[a-z-]+=", line))
    given = dict(line.split(" = ", 1) for line in text.splitlines())
    # Printed in the server's own units: sizes in bytes, lists as they were given.
    otherwise = {"host-memory", "local-user"}
    assert given.keys() <= effective.keys()
    for name in given.keys() - otherwise:
        assert effective[name].strip('"') == given[name].strip('"'), name


def test_every_option_of_the_server_is_a_value_or_set_by_the_chart():
    server = find_program("CHUNKKV_SERVER", "service/chunkkv-server")
    printed = run(server, "--print-config", env=without_own_variables()).stdout
    options = set(re.findall(r"^#?([a-z][a-z-]*)=", printed, re.MULTILINE))
    sys.path.insert(0, str(HELM_FOLDER))
    try:
        from make_schema import OPTIONS
    finally:
        sys.path.remove(str(HELM_FOLDER))
    assert options == OPTIONS.keys() | SET_BY_CHART | OF_TESTS


@pytest.mark.parametrize("generator", [
    "deploy/helm/make_schema.py", "deploy/helm/make_reference.py", "deploy/grafana/make_dashboard.py"])
def test_made_files_are_as_made(generator):
    done = subprocess.run([sys.executable, ROOT / generator, "--check"])
    assert done.returncode == 0, f"run {generator}"


def test_statefulset(render):
    objects = render(SERVER_TLS | {"replicas": 3})
    assert kinds(objects) == ["ConfigMap", "NetworkPolicy", "Pod", "PodDisruptionBudget", "Service", "Service",
                              "ServiceAccount", "StatefulSet"]
    spec = workload(objects)["spec"]
    assert spec["replicas"] == 3 and spec["podManagementPolicy"] == "Parallel"
    headless = objects["Service", spec["serviceName"]]["spec"]
    assert headless["clusterIP"] == "None"
    assert pod(objects)["topologySpreadConstraints"][0]["topologyKey"] == "kubernetes.io/hostname"


def test_daemonset(render):
    objects = render(SERVER_TLS | {"mode": "daemonset"})
    assert workload(objects)["kind"] == "DaemonSet" and "replicas" not in workload(objects)["spec"]
    assert objects["Service", "store-chunkkv"]["spec"]["internalTrafficPolicy"] == "Local"
    assert "PodDisruptionBudget" not in kinds(objects) and "topologySpreadConstraints" not in pod(objects)


def test_kubernetes_sets_no_options(render):
    assert pod(render(SERVER_TLS))["enableServiceLinks"] is False


def test_gpu(render):
    objects = render(SERVER_TLS | {"gpu": {"resourceName": "example.com/gpu", "count": 2, "runtimeClassName": "nv"}})
    assert container(objects)["resources"]["limits"] == {"example.com/gpu": 2, "memory": "6Gi"}
    assert container(objects)["image"].endswith("-cuda") and pod(objects)["runtimeClassName"] == "nv"


def test_values_for_machines_without_gpus(render):
    objects = render(SERVER_TLS | {"gpu": {"runtimeClassName": "nv"}}, "--values", CHART / "values-cpu.yaml")
    assert container(objects)["resources"]["limits"] == {"memory": "6Gi"}
    assert not container(objects)["image"].endswith("-cuda") and "runtimeClassName" not in pod(objects)
    assert 'device = "cpu"' in server_config(objects)


def test_image_by_digest(render):
    digest = "sha256:" + "ab" * 32
    image = {"image": {"repository": "registry.example/chunkkv", "digest": digest, "tag": "ignored"}}
    assert container(render(SERVER_TLS | image))["image"] == f"registry.example/chunkkv@{digest}"


def test_local_socket(render):
    objects = render(SERVER_TLS | LOCAL_SOCKET | {"mode": "daemonset"})
    config = server_config(objects)
    assert 'local-socket = "/run/chunkkv/server.socket"' in config and "local-user = [1000,1001]" in config
    folder = {"path": "/run/chunkkv", "type": "Directory"}
    assert {"name": "local-socket", "hostPath": folder} in pod(objects)["volumes"]


def test_grace_ends_before_kubernetes_does(render):
    objects = render(SERVER_TLS | {"terminationGracePeriodSeconds": 60})
    assert "grace-ms = 55000" in server_config(objects) and pod(objects)["terminationGracePeriodSeconds"] == 60


def test_a_changed_option_restarts_pods_and_nothing_else_does(render):
    def checksum(values):
        return workload(render(values))["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

    before = checksum(SERVER_TLS)
    assert before != checksum(SERVER_TLS | {"options": {"threads": 3}})
    assert before == checksum(SERVER_TLS | {"replicas": 2, "dashboard": {"enabled": True}})


def test_nobody_is_admitted_where_no_peer_is_named(render):
    objects = render(SERVER_TLS | {"networkPolicy": {"clients": [], "monitoring": []}})
    policy = objects["NetworkPolicy", "store-chunkkv"]["spec"]
    assert not policy["ingress"] and not policy["egress"] and policy["policyTypes"] == ["Ingress", "Egress"]


def test_monitoring(render):
    objects = render(EVERYTHING_ON)
    monitor = objects["ServiceMonitor", "store-chunkkv"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    scraped = [item for (kind, _), item in objects.items() if kind == "Service" and
               item["metadata"]["labels"].items() >= monitor["spec"]["selector"]["matchLabels"].items()]
    assert len(scraped) == 1
    assert monitor["spec"]["endpoints"][0]["port"] in [port["name"] for port in scraped[0]["spec"]["ports"]]


def test_the_test_pod_has_its_credentials(render):
    arguments = container_of_test(render(EVERYTHING_ON))["args"]
    assert "--tls-certificate=/etc/chunkkv/tls/tls.crt" in arguments
    assert "--token-file=/etc/chunkkv/token/token" in arguments
    assert len(container_of_test(render(NO_GPU | {"insecureListen": True}))["args"]) == 3


def container_of_test(objects):
    return objects["Pod", "store-chunkkv-test"]["spec"]["containers"][0]
