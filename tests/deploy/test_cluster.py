"""The chart against a real Kubernetes API server."""
import json

import pytest
import yaml
from api_server import running_api_server
from deploy_tools import CHART, find_tool, run
from value_matrix import EVERYTHING_ON, MATRIX, SERVER_TLS

NAMESPACE = "llm"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Runs kubectl or helm against the server."""
    with running_api_server(tmp_path_factory.mktemp("cluster")) as environment:
        def call(tool, *arguments, **options):
            return run(find_tool(tool), *arguments, env=environment, **options)

        call("kubectl", "create", "namespace", NAMESPACE)
        call("kubectl", "apply", "-f", CHART.parents[2] / "tests/deploy/monitoring_crds.yaml")
        call("kubectl", "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
        yield call


def apply_dry(cluster, manifest, **options):
    return cluster("kubectl", "apply", "--dry-run=server", "--validate=strict", "--namespace", NAMESPACE, "-f", "-",
                   input=manifest, **options)


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_every_object_is_accepted(cluster, helm_template, values):
    manifest = helm_template(values).stdout
    count = len([item for item in yaml.safe_load_all(manifest) if item])
    assert count >= 4 and len(apply_dry(cluster, manifest).stdout.splitlines()) == count


@pytest.mark.parametrize("right, wrong", [
    ("containerPort", "containerport"), ("kind: StatefulSet", "kind: Statefulset"), ("port: grpc", "port: GRPC!"),
    ("memory: 6Gi", "memory: 6Gb")])
def test_the_server_does_check(cluster, helm_template, right, wrong):
    manifest = helm_template(SERVER_TLS).stdout
    assert right in manifest
    assert apply_dry(cluster, manifest.replace(right, wrong), check=False).returncode != 0


def test_install_upgrade_rollback_uninstall(cluster, tmp_path):
    def values_file(name, values):
        file = tmp_path / name
        file.write_text(yaml.safe_dump(values))
        return file

    def helm(*arguments):
        return cluster("helm", *arguments, "--namespace", NAMESPACE)

    def objects(kind):
        return json.loads(cluster("kubectl", "get", kind, "--namespace", NAMESPACE, "--selector",
                                  "app.kubernetes.io/instance=store", "--output", "json").stdout)["items"]

    def state():
        found, = objects("statefulset")
        template = found["spec"]["template"]
        return found["spec"]["replicas"], template["metadata"]["annotations"]["checksum/config"]

    notes = helm("install", "store", CHART, "--values", values_file("first", SERVER_TLS)).stdout
    assert f"store-chunkkv.{NAMESPACE}.svc:7421" in notes
    installed = state()
    assert installed[0] == 1 and not objects("prometheusrule")

    helm("upgrade", "store", CHART, "--values", values_file("second", EVERYTHING_ON))
    assert state()[0] == 3 and state()[1] != installed[1]
    assert len(objects("prometheusrule")) == len(objects("servicemonitor")) == len(objects("pdb")) == 1

    helm("rollback", "store", "1")
    assert state() == installed and not objects("prometheusrule") and not objects("pdb")

    helm("upgrade", "store", CHART, "--values", values_file("third", SERVER_TLS | {"mode": "daemonset"}))
    assert len(objects("daemonset")) == 1 and not objects("statefulset")

    helm("uninstall", "store")
    for kind in ("statefulset", "daemonset", "service", "configmap", "serviceaccount", "networkpolicy", "pdb"):
        assert not objects(kind), kind
