"""The image: built by buildah on a Debian of its own, run by podman as anyone would run it."""
import json
import os
import shutil
import subprocess
from pathlib import Path

import caches
import chunkkv
import pytest
from certificates import Authority
from deploy_tools import CACHE, ROOT, find_tool, run
from local_server import eventually
from played_pod import Volumes, podman_arguments
from programs import answers, free_ports
from round_trip import put_and_get
from tenants import tenant, write_tenants

VARIANT = os.environ.get("CHUNKKV_TEST_IMAGE")
pytestmark = pytest.mark.skipif(VARIANT is None, reason="tests/deploy/run.sh --image builds it")

STORAGE = ["--root", CACHE / "containers", "--storage-driver", "vfs"]
BASE, IMAGE, NAME = "localhost/chunkkv-test-base", f"localhost/chunkkv-test:{VARIANT}", "chunkkv-test"
BUILD_TIMEOUT_S = 3600
# Without a registry, cgroups or systemd.
RUN_HERE = ["--runtime", "runc", "--cgroup-manager", "cgroupfs"]
LIMITS_HERE = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]


def podman(*arguments, **options):
    return run(find_tool("podman"), *STORAGE, *RUN_HERE, *arguments, **options)


def make_base():
    if podman("image", "exists", BASE, check=False).returncode == 0:
        return
    folder = CACHE / "base"
    if not (folder / "etc/debian_version").exists():
        subprocess.run([find_tool("debootstrap"), "--variant=minbase", "bookworm", folder], check=True,
                       timeout=BUILD_TIMEOUT_S)
    trust_what_this_machine_trusts(folder)
    with subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE) as archive:
        podman("import", "-", BASE, stdin=archive.stdout)


def trust_what_this_machine_trusts(folder):
    """As a company's own base does, behind a proxy that signs what it hands on."""
    authorities = folder / "usr/local/share/ca-certificates"
    authorities.mkdir(parents=True, exist_ok=True)
    for authority in Path("/usr/local/share/ca-certificates").glob("*.crt"):
        shutil.copy(authority, authorities)
    (folder / "etc/pip.conf").write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")


@pytest.fixture(scope="module")
def image():
    make_base()
    ccache = CACHE / "ccache"
    ccache.mkdir(exist_ok=True)
    subprocess.run(
        [find_tool("buildah"), *STORAGE, "bud", "--isolation", "chroot",
         "--file", ROOT / "deploy/docker/Dockerfile", "--ignorefile", ROOT / "deploy/docker/Dockerfile.dockerignore",
         "--volume", f"{ccache}:/root/.cache/ccache:rw", "--build-arg", f"BASE={BASE}", "--build-arg", "VERSION=0.1.0",
         "--build-arg", f"VARIANT={VARIANT}", "--tag", IMAGE, ROOT], check=True, timeout=BUILD_TIMEOUT_S)
    return IMAGE


@pytest.fixture
def container(image, tmp_path):
    """Address of a server in a container with nothing that may be written, and no capability."""
    podman("run", "--detach", "--rm", "--name", NAME, "--network", "host", "--read-only", "--read-only-tmpfs=false",
           "--cap-drop", "ALL", "--security-opt", "no-new-privileges", *LIMITS_HERE, image,
           "--listen", "127.0.0.1:17421", "--host-memory", "64MiB")
    try:
        eventually(lambda: podman("exec", NAME, "/usr/bin/chunkkv", "stats", "--address", "127.0.0.1:17421",
                                  check=False).returncode == 0, seconds=60)
        yield "127.0.0.1:17421"
    finally:
        podman("stop", "--time", "20", NAME, check=False)


def test_put_and_get_through_the_container(container):
    put_and_get(container)


def test_it_is_not_root(container):
    assert podman("top", NAME, "huser").stdout.split()[1:] == ["65532"]


def test_it_has_no_shell(container):
    assert podman("exec", NAME, "/bin/sh", "-c", "true", check=False).returncode != 0


def test_it_has_labels_and_a_bill_of_materials(image, tmp_path):
    config = json.loads(podman("image", "inspect", image).stdout)[0]["Config"]
    assert config["User"] == "65532:65532" and config["Entrypoint"] == ["/usr/bin/chunkkv-server"]
    assert config["Labels"]["org.opencontainers.image.version"] == "0.1.0"
    created = podman("create", image).stdout.strip()
    try:
        podman("cp", f"{created}:/usr/share/chunkkv/sbom.spdx.json", tmp_path)
    finally:
        podman("rm", created)
    bill = json.loads((tmp_path / "sbom.spdx.json").read_text())
    names = {package["name"] for package in bill["packages"]}
    assert bill["spdxVersion"] == "SPDX-2.3" and {"chunkkv", "libgrpc++1.51", "libssl3", "libc6"} <= names
    described = {relation["relatedSpdxElement"] for relation in bill["relationships"]}
    assert described == {package["SPDXID"] for package in bill["packages"]}


POD, TOKEN = "chunkkv-test-pod", "a-token-of-the-inference-team"


@pytest.fixture
def played(image, render, tmp_path):
    """The chart's server with mTLS and tenants, started as its pod says: (its objects, what its volumes hold, authority)"""
    port, admin_port = free_ports(2)
    objects = render({
        "tls": {"existingSecret": "server-tls", "clientCaSecret": "clients"}, "tenants": {"existingSecret": "tenants"},
        "test": {"tlsSecret": "client-tls", "tokenSecret": "token"}, "gpu": {"enabled": False},
        "service": {"port": port}, "admin": {"port": admin_port}, "options": {"host-memory": "64MiB"},
        "resources": {}})
    authority = Authority()
    server, client = authority.issue("store-chunkkv", "127.0.0.1"), authority.issue("client.test")
    tenants = write_tenants(tmp_path / "tenants.json", tenant("inference", TOKEN))
    volumes = Volumes(tmp_path, {
        "store-chunkkv": objects["ConfigMap", "store-chunkkv"]["data"],
        "server-tls": {"tls.crt": server.certificate, "tls.key": server.key},
        "clients": {"ca.crt": authority.certificate},
        "tenants": {"tenants.json": tenants.read_text()},
        "client-tls": {"ca.crt": authority.certificate, "tls.crt": client.certificate, "tls.key": client.key},
        "token": {"token": TOKEN}})
    pod = objects["StatefulSet", "store-chunkkv"]["spec"]["template"]["spec"]
    podman("run", "--detach", "--rm", "--name", POD, *LIMITS_HERE, *podman_arguments(pod, image, volumes))
    try:
        probe = f"http://127.0.0.1:{port_of(pod, 'admin')}{pod['containers'][0]['readinessProbe']['httpGet']['path']}"
        eventually(lambda: answers(probe), seconds=60)
        yield objects, volumes, (authority, client)
    finally:
        podman("stop", "--time", "20", POD, check=False)


def port_of(pod, name) -> int:
    return next(port["containerPort"] for port in pod["containers"][0]["ports"] if port["name"] == name)


def test_the_pod_of_the_chart_serves_its_tenants(played):
    objects, _, (authority, client) = played
    port = objects["Service", "store-chunkkv"]["spec"]["ports"][0]["port"]
    with chunkkv.Client(f"127.0.0.1:{port}", credentials=authority.credentials(client),
                        metadata=[("authorization", f"Bearer {TOKEN}")]) as team:
        caches.put(team)
        assert caches.is_served(team)
    with chunkkv.Client(f"127.0.0.1:{port}", credentials=authority.credentials(client)) as stranger:
        with pytest.raises(chunkkv.PermissionDenied) as refusal:
            stranger.stats()
        assert refusal.value.reason == "UNKNOWN_CERTIFICATE"


@pytest.mark.parametrize("token,succeeds", [(TOKEN, True), ("another", False)])
def test_helm_test_tells_whether_the_service_answers(played, image, token, succeeds):
    objects, volumes, _ = played
    (pod,) = (found["spec"] for (kind, _), found in objects.items() if kind == "Pod")
    volumes["token"] = {"token": token}
    # What the cluster's DNS gives.
    done = podman("run", "--rm", "--add-host", "store-chunkkv:127.0.0.1", *LIMITS_HERE,
                  *podman_arguments(pod, image, volumes), check=False)
    assert (done.returncode == 0) == succeeds, done.stderr
    assert ("host" in done.stdout) if succeeds else ("UNAUTHENTICATED" in done.stderr.upper())
