"""run.sh with stand-in programs: order, limits, what becomes of steps that fail, hang, are skipped or do nothing."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PASSED = "echo '[==========] Running 3 tests'; echo '[  PASSED  ] 3 tests.'"
FIGURE = """echo '{"bench": "G2"}'"""
STEPS = ["simt", "conformance_small", "memcheck", "racecheck", "initcheck", "synccheck", "conformance", "large",
         "workers",
         "limits", "bench_G1", "bench_G2", "bench_G3", "bench_G4", "bench_P1", "peers", "report"]

SERVER_STEPS = ["compaction", "regions", "pressure", "killed_workers", "expandable_segments", "nccl", "decode_slowdown"]


class Package:
    """A folder as package.sh makes it, with stand-ins: bash scripts that also write down how they were called."""

    def __init__(self, folder):
        self.folder, self.calls_file = folder, folder / "calls"
        (folder / "bin").mkdir()
        (folder / "path").mkdir()
        shutil.copy(HERE / "run.sh", folder)
        self.program("bin/gpu_test", PASSED)
        self.program("bin/gpu_bench", FIGURE)
        self.program("path/python", FIGURE)
        self.program("path/compute-sanitizer", '"${@:5}"')

    def program(self, name, body):
        path = self.folder / name
        path.write_text(f'#!/bin/bash\necho "{Path(name).name} $*" >>{self.calls_file}\n{body}\n')
        path.chmod(0o755)

    def run(self, *options):
        path = f"{self.folder / 'path'}:{os.environ['PATH']}"
        return subprocess.run([self.folder / "run.sh", *options], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "PATH": path, "PYTHON": "python"})

    def summary(self):
        """{step: (outcome, reason)}, in the order of the steps."""
        lines = (self.folder / "results/summary.txt").read_text().splitlines()
        fields = [line.split(maxsplit=4) for line in lines]
        return {step: (outcome, *reason) for outcome, _, _, step, *reason in fields}

    def calls(self):
        return self.calls_file.read_text().splitlines()

    def lines(self):
        return (self.folder / "results/lines.jsonl").read_text()

    def log(self):
        return (self.folder / "results/run.log").read_text()


@pytest.fixture
def package(tmp_path):
    return Package(tmp_path)


def test_everything_runs_in_order(package):
    done = package.run()
    assert done.returncode == 0 and "\n0 steps failed" in done.stdout
    assert list(package.summary()) == STEPS
    assert {outcome for outcome, *_ in package.summary().values()} == {"ok"}
    called = [call.split()[0] for call in package.calls()]
    assert called == ["gpu_test"] * 2 + ["compute-sanitizer", "gpu_test"] * 4 + ["gpu_test"] * 2 + ["python", "python"] + [
        "gpu_bench"] * 5 + ["python"] * 2
    assert package.calls()[0] == "gpu_test --gtest_filter=Simt*"
    assert "python tests/bench/gpu/limits.py" in package.calls()
    assert package.lines().count("\n") == 7, "limits, five benches, peers: the report prints to the log"


@pytest.mark.parametrize("suite,names", [("kernels", STEPS), ("server", SERVER_STEPS)])
def test_the_limits_leave_room_in_nine_minutes(package, suite, names):
    steps = [line.split() for line in package.run("--suite", suite, "--list").stdout.splitlines()]
    assert [name for name, _ in steps] == names
    kill_seconds = 1
    assert sum(int(seconds) + kill_seconds for _, seconds in steps) < 9 * 60


def test_the_servers_suite_runs_in_order(package):
    done = package.run("--suite", "server")
    assert done.returncode == 0 and list(package.summary()) == SERVER_STEPS
    assert [call for call in package.calls() if "--only regions" in call][0] == (
        "python tests/gpu/server_on_cuda.py --server bin/chunkkv-server --only regions")
    assert package.run("--suite", "everything").returncode == 2


def test_a_failing_step_does_not_stop_the_next(package):
    package.program("bin/gpu_bench", 'echo half; echo why it broke >&2; [[ $2 != G3 ]] || exit 3')
    done = package.run()
    assert done.returncode == 1 and "\n1 steps failed" in done.stdout
    assert package.summary()["bench_G3"] == ("FAILED", "status 3")
    assert package.summary()["bench_G4"][0] == package.summary()["report"][0] == "ok"
    assert "why it broke" in done.stdout and package.log().count("why it broke") == 5


def test_a_hanging_step_ends_at_its_limit_and_what_it_printed_stays(package):
    package.program("bin/gpu_bench", 'printf %s \'{"half\'; [[ $2 != G1 ]] || exec sleep 30; echo \'": 1}\'')
    done = package.run("--at-most", "1")
    assert done.returncode == 1
    assert package.summary()["bench_G1"] == ("FAILED", "took longer than its limit")
    assert package.summary()["bench_G2"] == ("ok", "1 lines")
    half, whole = package.lines().splitlines()[1:3]
    assert half == '{"half' and json.loads(whole) == {"half": 1}, "half a line does not spoil the next"


def test_a_step_that_ignores_its_limit_is_killed(package):
    package.program("bin/gpu_test", "trap '' TERM; while :; do sleep 0.1; done")
    package.run("--at-most", "1", "--only", "simt")
    assert package.summary() == {"simt": ("FAILED", "took longer than its limit")}


def test_a_step_that_nothing_can_end_is_left_behind(package):
    package.program("path/timeout", f'[[ $* == *Simt* ]] || exec {shutil.which("timeout")} "$@"\n'
                                    f"echo $$ >{package.folder}/pid; exec sleep 60")
    try:
        assert package.run("--at-most", "1", "--only", "simt", "--only", "report").returncode == 1
        assert package.summary()["simt"] == ("FAILED", "hangs, and is left behind")
        assert package.summary()["report"][0] == "ok"
    finally:
        os.kill(int((package.folder / "pid").read_text()), 9)


def test_sanitizers_are_skipped_where_there_are_none(package):
    (package.folder / "path/compute-sanitizer").unlink()
    assert package.run().returncode == 0
    assert package.summary()["racecheck"] == ("skipped", "compute-sanitizer is not installed")


def test_sanitizers_are_skipped_where_they_refuse_the_device(package):
    package.program("path/compute-sanitizer", "echo '========= Error: Device not supported.'; exit 86")
    assert package.run().returncode == 0
    assert package.summary()["synccheck"] == ("skipped", "compute-sanitizer refuses this device")


def test_what_a_sanitizer_finds_is_a_failure(package):
    package.program("path/compute-sanitizer", f"{PASSED}; echo '========= Race reported'; exit 86")
    assert package.run().returncode == 1
    assert package.summary()["racecheck"] == ("FAILED", "status 86")


def test_workers_are_skipped_where_python_lacks_a_package(package):
    package.program("path/python", "exit 77")
    assert package.run("--only", "workers").returncode == 0
    assert package.summary()["workers"] == ("skipped", "says that a package is missing")


@pytest.mark.parametrize("printed, outcome", [
    ("[==========] Running 0 tests from 0 test suites.\\n[  PASSED  ] 0 tests.", ("FAILED", "no test has such a name")),
    ("[==========] Running 2 tests\\n[  PASSED  ] 0 tests.\\n[  SKIPPED ] 2 tests", ("skipped",
                                                                              "every test skipped itself")),
    ("hello", ("FAILED", "printed no result"))])
def test_tests_that_did_nothing_do_not_pass(package, printed, outcome):
    package.program("bin/gpu_test", f"printf '{printed}\\n'")
    package.run("--only", "conformance")
    assert package.summary() == {"conformance": outcome}


def test_a_benchmark_that_prints_nothing_fails(package):
    package.program("bin/gpu_bench", "")
    package.run("--only", "bench_P1")
    assert package.summary() == {"bench_P1": ("FAILED", "printed no figure")}


def test_a_missing_program_fails(package):
    (package.folder / "bin/gpu_test").unlink()
    package.run("--only", "simt")
    assert package.summary() == {"simt": ("FAILED", "cannot be run")}


def test_single_steps_add_to_what_is_there(package):
    package.run("--only", "bench_G1")
    package.run("--only", "bench_G2", "--only", "peers")
    assert list(package.summary()) == ["bench_G1", "bench_G2", "peers"]
    assert package.lines().count("\n") == 3
    package.run()
    assert list(package.summary()) == STEPS and package.lines().count("\n") == 7


def test_an_unknown_step_is_refused(package):
    done = package.run("--only", "bench_G9")
    assert done.returncode == 2 and "no step bench_G9" in done.stderr
    assert not (package.folder / "results").exists()


def test_the_report_of_a_run_is_printed_at_its_end(package):
    package.program("path/python", 'mkdir -p "$4/gpu-1"; echo "# A table" >"$4/gpu-1/report.md"')
    done = package.run("--only", "report")
    assert "\n# A table\nok " in done.stdout


def test_programs_find_the_golden_vectors(package):
    package.program("bin/gpu_test", f"echo $CHUNKKV_SOURCE_DIR; {PASSED}")
    package.run("--only", "simt")
    assert f"\n{package.folder}\n" in package.log()
