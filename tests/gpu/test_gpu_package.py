"""package.sh on small programs: the folder runs alone, and what would not run elsewhere is refused."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ORIGIN = "-Wl,-rpath,$ORIGIN/../lib"
pytestmark = pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")


def compile_(target, source, *options):
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["g++", "-x", "c++", "-", "-o", target, *options], input=source, text=True, check=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A build folder with a program, of a library that needs another one; and the folder of these two."""
    folder = tmp_path_factory.mktemp("built")
    libraries, build = folder / "system", folder / "build"
    compile_(libraries / "libdeep.so", "int Deep() { return 7; }", "-shared", "-fPIC")
    compile_(libraries / "libnear.so", "int Deep(); int Near() { return Deep(); }", "-shared", "-fPIC",
             f"-L{libraries}", "-ldeep")
    uses = f"-L{libraries}", "-lnear", f"-Wl,-rpath-link,{libraries}", f"-Wl,-rpath,{libraries}"
    main = "int Near(); int main() { return Near(); }"
    compile_(build / "tests/gpu_test", main, *uses, ORIGIN, "-Wl,--disable-new-dtags")
    compile_(build / "libkernels.so", "int Near(); int Kernels() { return Near(); }", "-shared", "-fPIC", *uses, ORIGIN,
             "-Wl,--disable-new-dtags")
    compile_(build / "gpu_bench", main, *uses, ORIGIN, "-Wl,--enable-new-dtags")
    return build, libraries


def package(build, out, *options):
    return subprocess.run([HERE / "package.sh", "--no-build", "--build", build, "--out", out, *options],
                          capture_output=True, text=True, timeout=60)


def test_the_folder_runs_alone(built, tmp_path):
    build, libraries = built
    out = tmp_path / "package"
    done = package(build, out, "gpu_test", "libkernels.so")
    assert done.returncode == 0, done.stderr
    assert "./bin/gpu_test" in done.stdout and done.stdout.endswith("on the GPU machine: ./run.sh\n")
    assert {path.name for path in (out / "lib").iterdir()} == {"libdeep.so", "libnear.so", "libkernels.so"}
    hidden = libraries.rename(libraries.with_name("hidden"))
    try:
        assert subprocess.run([out / "bin/gpu_test"]).returncode == 7
    finally:
        hidden.rename(libraries)
    symbols = subprocess.run(["readelf", "-S", out / "bin/gpu_test"], capture_output=True, text=True).stdout
    assert ".symtab" not in symbols, "stripped"


def test_the_folder_has_the_python_parts_and_the_vectors(built, tmp_path):
    packed = package(built[0], tmp_path / "package", "gpu_test")
    is_generated = (HERE.parents[1] / "client/python/chunkkv/v1/__init__.py").exists()
    assert ("the step workers will be skipped" in packed.stderr) == (not is_generated)
    out = tmp_path / "package"
    done = subprocess.run([shutil.which("python3"), out / "tests/bench/gpu/report.py", "--help"], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert list(out.glob("tests/golden/kvpress/*.kept.safetensors")) and (out / "tests/bench/gpu/peers").is_dir()
    assert (out / "tests/gpu/kernels_on_cuda.py").exists() and (out / "client/python/chunkkv/kernels").is_dir()
    assert not list(out.rglob("test_*")) and not list(out.rglob("__pycache__"))
    assert subprocess.run([out / "run.sh", "--list"], capture_output=True).returncode == 0


def test_a_folder_that_is_too_large_fails_after_saying_what_is_in_it(built, tmp_path):
    done = package(built[0], tmp_path / "package", "--most", "1", "gpu_test")
    assert done.returncode == 1 and "more than 1" in done.stderr and "./tests" in done.stdout


def test_a_program_that_could_not_find_the_libraries_of_its_libraries_is_refused(built, tmp_path):
    done = package(built[0], tmp_path / "package", "gpu_bench")
    assert done.returncode == 1 and "gpu_bench does not look for its libraries in ../lib" in done.stderr


def test_a_program_that_was_not_built_is_named(built, tmp_path):
    done = package(built[0], tmp_path / "package", "gpu_tests")
    assert done.returncode == 1 and "has 0 files named gpu_tests" in done.stderr


def test_only_a_folder_of_its_own_is_made_anew(built, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter").write_text("dear")
    done = package(built[0], tmp_path / "mine", "gpu_test")
    assert done.returncode == 1 and "give another --out" in done.stderr
    assert (tmp_path / "mine/letter").exists()
    assert package(built[0], tmp_path / "package", "gpu_test").returncode == 0
    assert package(built[0], tmp_path / "package", "gpu_test").returncode == 0
