"""A Kubernetes API server with its etcd, and no nodes: objects are checked and stored, nothing runs."""
import contextlib
import os
import subprocess
import time
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from deploy_tools import find_tool, run
from programs import free_ports

TOKEN = "of-the-test"


def write_key(path: Path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                                       serialization.NoEncryption()))


def write_kubeconfig(path: Path, port: int):
    path.write_text(f"""\
apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: "https://127.0.0.1:{port}", insecure-skip-tls-verify: true}}}}]
users: [{{name: test, user: {{token: {TOKEN}}}}}]
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
current-context: test
""")


@contextlib.contextmanager
def process(folder, name, *command):
    with open(folder / f"{name}.log", "wb") as log:
        started = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, cwd=folder)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(timeout=20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@contextlib.contextmanager
def running_api_server(folder: Path):
    """The environment in which kubectl and helm speak to a server of its own."""
    api_server, kubectl, etcd = find_tool("kube-apiserver"), find_tool("kubectl"), find_tool("etcd")
    etcd_port, peer_port, port = free_ports(3)
    write_key(folder / "service-account.key")
    write_kubeconfig(folder / "kubeconfig", port)
    (folder / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
    etcd_address = f"http://127.0.0.1:{etcd_port}"
    environment = os.environ | {"KUBECONFIG": str(folder / "kubeconfig"), "HELM_CACHE_HOME": str(folder / "helm"),
                                "HOME": str(folder)}
    with process(folder, "etcd", etcd, f"--data-dir={folder}/etcd", f"--listen-client-urls={etcd_address}",
                 f"--advertise-client-urls={etcd_address}", f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
                 "--unsafe-no-fsync"), \
         process(folder, "apiserver", api_server, f"--etcd-servers={etcd_address}", f"--secure-port={port}",
                 "--bind-address=127.0.0.1", f"--cert-dir={folder}/certificates",
                 f"--token-auth-file={folder}/tokens.csv",
                 "--authorization-mode=AlwaysAllow", "--disable-admission-plugins=ServiceAccount",
                 "--service-account-issuer=https://test", f"--service-account-key-file={folder}/service-account.key",
                 f"--service-account-signing-key-file={folder}/service-account.key",
                 "--service-cluster-ip-range=10.0.0.0/24") as server:
        deadline = time.monotonic() + 180
        while run(kubectl, "get", "--raw", "/readyz", check=False, env=environment).returncode != 0:
            assert server.poll() is None and time.monotonic() < deadline, (folder / "apiserver.log").read_text()[-3000:]
            time.sleep(0.5)
        yield environment
