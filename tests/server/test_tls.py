"""TLS listeners: who may connect, and certificates that change while the server runs."""

import subprocess
import time

import caches
import chunkkv
import grpc
import pytest
from certificates import Authority
from local_server import eventually
from programs import find_program, running_server
from tenants import client_with
from test_admin import admin_address, admin_options, readings

AUTHORITY = Authority()


@pytest.fixture
def files(tmp_path):
    """Paths of the server's certificate and key, and of the authority's certificate."""
    certificate, key = AUTHORITY.issue("localhost", "127.0.0.1").write(tmp_path, "server")
    authority = tmp_path / "ca.pem"
    authority.write_bytes(AUTHORITY.certificate)
    return certificate, key, authority


def tls_options(files, mutual):
    certificate, key, authority = files
    options = ["--tls-certificate", certificate, "--tls-key", key]
    return [*options, "--tls-client-ca", authority] if mutual else options


def works(address, credentials) -> bool:
    with client_with(address, credentials=credentials) as client:
        try:
            client.stats(timeout=30)
        except (chunkkv.Unavailable, chunkkv.DeadlineExceeded):
            return False
        return True


def test_a_cache_comes_back_over_tls(tmp_path, files):
    with running_server(tmp_path, *tls_options(files, mutual=False)) as address:
        with client_with(address, credentials=AUTHORITY.credentials()) as client:
            caches.put(client)
            assert caches.is_served(client)
        assert not works(address, None), "plain text must not be understood"
        assert not works(address, Authority("other").credentials()), "the client does not trust the server"


def test_mutual_tls_takes_clients_of_its_authority_only(tmp_path, files):
    other = Authority("other")
    with running_server(tmp_path, *tls_options(files, mutual=True)) as address:
        assert works(address, AUTHORITY.credentials(AUTHORITY.issue("worker")))
        assert not works(address, AUTHORITY.credentials()), "no certificate"
        assert not works(address, AUTHORITY.credentials(other.issue("worker"))), "of another authority"
        assert not works(address, AUTHORITY.credentials(AUTHORITY.issue("worker", expired=True)))


def test_a_new_certificate_is_taken_without_a_restart(tmp_path, files):
    with running_server(tmp_path, *tls_options(files, mutual=False)) as address:
        assert works(address, AUTHORITY.credentials())
        successor = Authority("successor")
        successor.issue("localhost", "127.0.0.1").write(tmp_path, "server")
        deadline = time.monotonic() + 20
        while not works(address, successor.credentials()):
            assert time.monotonic() < deadline


def test_the_log_and_the_metrics_follow_the_certificate(tmp_path, files):
    def end():
        return readings(admin_address(tmp_path))["chunkkv_certificate_expiry_timestamp_seconds"]

    with running_server(tmp_path, *tls_options(files, mutual=False), *admin_options(tmp_path)):
        first = end()
        AUTHORITY.issue("localhost", "127.0.0.1", days=3).write(tmp_path, "server")
        eventually(lambda: end() < first - 20 * 86400)
        files[1].write_bytes(AUTHORITY.issue("localhost").key)
        eventually(lambda: "is not the key of" in (tmp_path / "log").read_text())


def test_the_command_line_speaks_tls(tmp_path, files):
    cli = find_program("CHUNKKV_CLI", "client/cli/chunkkv")
    certificate, key = AUTHORITY.issue("worker").write(tmp_path, "worker")
    with running_server(tmp_path, *tls_options(files, mutual=True)) as address:
        flags = ["--tls-ca", files[2], "--tls-certificate", certificate, "--tls-key", key]
        finished = subprocess.run([cli, "stats", "--address", address, *flags], capture_output=True, text=True)
        assert finished.returncode == 0, finished.stderr
        assert "up" in finished.stdout


def refusal(*options, listen="127.0.0.1:0") -> str:
    server = find_program("CHUNKKV_SERVER", "service/chunkkv-server")
    finished = subprocess.run([server, "--listen", listen, *options], capture_output=True, text=True, timeout=60)
    assert finished.returncode != 0
    return finished.stderr


def test_wrong_files_are_named_at_the_start(tmp_path, files):
    certificate, key, authority = files
    assert "is not the key of" in refusal("--tls-certificate", authority, "--tls-key", key)
    assert "holds no certificate" in refusal("--tls-certificate", key, "--tls-key", key)
    assert "holds no private key" in refusal("--tls-certificate", certificate, "--tls-key", certificate)
    assert "none.pem" in refusal("--tls-certificate", tmp_path / "none.pem", "--tls-key", key)
    assert "holds no certificate" in refusal(*tls_options((certificate, key, key), mutual=True))
    assert "--tls-key" in refusal("--tls-certificate", certificate)
    assert "--tls-certificate" in refusal("--tls-client-ca", authority)


@pytest.mark.parametrize("certificate,key", [("", ""), ("", "key"), ("certificate", "")])
def test_empty_paths_do_not_turn_tls_off(tmp_path, files, certificate, key):
    """As unset variables of a shell are."""
    given = {"": "", "certificate": files[0], "key": files[1]}
    authority = files[2]
    options = ["--tls-certificate", given[certificate], "--tls-key", given[key]]
    for listen in ("127.0.0.1:0", "0.0.0.0:0"):
        assert "needs the server's certificate" in refusal(*options, "--tls-client-ca", authority, listen=listen)
    if certificate or key:
        assert "needs the server's certificate" in refusal(*options)
    else:
        assert "--insecure-listen" in refusal(*options, listen="0.0.0.0:0")


def test_an_empty_path_in_the_file_of_options_does_not_turn_tls_off(tmp_path, files):
    options = tmp_path / "server.toml"
    options.write_text(f'tls-certificate=""\ntls-key="{files[1]}"\ntls-client-ca="{files[2]}"\n')
    assert "needs the server's certificate" in refusal("--config", options, listen="0.0.0.0:0")


def test_open_listeners_need_certificates_of_clients(tmp_path, files):
    assert "--insecure-listen" in refusal(listen="0.0.0.0:0")
    assert "--insecure-listen" in refusal(*tls_options(files, mutual=False), listen="0.0.0.0:0")


def test_an_open_listener_with_mutual_tls_serves(tmp_path, files):
    with running_server(tmp_path, *tls_options(files, mutual=True), host="0.0.0.0") as address:
        assert works(address, AUTHORITY.credentials(AUTHORITY.issue("worker")))


def test_an_insecure_listener_says_so_at_every_start(tmp_path):
    with running_server(tmp_path, "--insecure-listen", host="0.0.0.0") as address:
        assert works(address, None)
    assert '"option":"--insecure-listen"' in (tmp_path / "log").read_text()


def test_compression_is_refused(tmp_path, files):
    with running_server(tmp_path, *tls_options(files, mutual=False)) as address:
        with grpc.secure_channel(address, AUTHORITY.credentials(), compression=grpc.Compression.Gzip) as channel:
            call = channel.unary_unary("/chunkkv.v1.KvCacheService/GetStats")
            with pytest.raises(grpc.RpcError) as refused:
                call(b"\x0a" + b"\x04" + b"aaaa", timeout=30)
            assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
