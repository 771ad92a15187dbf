"""Options: flags over variables over the file, and what is refused."""

import re
import subprocess

import pytest
from programs import find_program, without_own_variables


def run(*options, **variables):
    server = find_program("CHUNKKV_SERVER", "service/chunkkv-server")
    return subprocess.run([server, *options], capture_output=True, text=True, timeout=60,
                          env={**without_own_variables(), **variables})


def printed(*options, **variables) -> dict[str, str]:
    """What --print-config says, as text by key."""
    finished = run("--print-config", *options, **variables)
    assert finished.returncode == 0, finished.stderr
    return dict(line.split("=", 1) for line in finished.stdout.splitlines() if line and not line.startswith("#"))


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "server.toml"
        path.write_text(text)
        return path

    return write


def test_flags_win_over_variables_and_these_over_the_file(file):
    path = file('threads=3\nhost-memory="1GiB"\nreflection=false\n')
    assert printed()["threads"] == "0" and printed()["reflection"] == "true"
    of_file = printed("--config", path)
    assert (of_file["threads"], of_file["host-memory"], of_file["reflection"]) == ("3", "1073741824", "false")
    of_variable = printed("--config", path, CHUNKKV_THREADS="5", CHUNKKV_HOST_MEMORY="2GiB", CHUNKKV_REFLECTION="true")
    assert (of_variable["threads"], of_variable["host-memory"], of_variable["reflection"]) == ("5", "2147483648", "true")
    assert printed("--config", path, "--threads", "7", CHUNKKV_THREADS="5")["threads"] == "7"
    assert printed(CHUNKKV_CONFIG=str(path))["threads"] == "3"


def test_an_empty_variable_leaves_what_the_file_says(file):
    path = file('tenants="/etc/tenants.json"\nthreads=3\n')
    assert printed("--config", path, CHUNKKV_TENANTS="", CHUNKKV_THREADS="") == printed("--config", path)
    assert printed("--config", path)["tenants"] == '"/etc/tenants.json"'


def test_what_is_printed_is_a_file_that_says_the_same(file):
    first = run("--print-config", "--threads", "3", "--map-entries", "--local-socket", "/tmp/socket", "--no-reflection",
                "--local-user", "7,8", "--log-level", "debug")
    assert first.returncode == 0, first.stderr
    assert run("--print-config", "--config", file(first.stdout)).stdout == first.stdout


@pytest.mark.parametrize("text,named", [
    ("threadz=3\n", "threadz"), ("[limits]\nthreads=3\n", "limits"), ("threads=many\n", "threads"),
    ("threads=-1\n", "threads"), ('host-memory="1XB"\n', "host-memory"), ("print-config=true\n", "print-config")])
def test_what_a_file_may_not_say_is_named(file, text, named):
    finished = run("--config", file(text))
    assert finished.returncode == 2 and named in finished.stderr


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    for finished in (run("--config", tmp_path / "none"), run(CHUNKKV_CONFIG=str(tmp_path / "none"))):
        assert finished.returncode == 2 and "none" in finished.stderr


def test_a_variable_that_no_option_has_is_told(tmp_path):
    finished = run("--listen", "127.0.0.1:none", CHUNKKV_HOST_MEMROY="8GiB")
    assert "CHUNKKV_HOST_MEMROY" in finished.stderr


def test_every_option_is_explained_and_has_its_variable():
    text = run("--help").stdout
    options = set(re.findall(r"^  --([a-z-]+)", text, re.MULTILINE)) - {"version", "print-config", "config"}
    assert options == set(printed()) | {name.lstrip("#") for name in commented()}
    for option in options:
        entry = re.search(rf"^  --{option}[ ,=].*\n((?: {{20,}}.*\n)+)", text, re.MULTILINE)
        assert entry and entry[1].strip(), option
        assert f"CHUNKKV_{option.upper().replace('-', '_')})" in entry[0], option


def commented() -> set[str]:
    return set(re.findall(r'^#([a-z-]+)="', run("--print-config").stdout, re.MULTILINE))
