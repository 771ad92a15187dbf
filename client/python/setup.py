"""Generates chunkkv/v1 from the .proto files at each build; nothing generated is committed."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
CARRIED_PROTOS = HERE / "proto"  # in a source distribution
PROTOS = CARRIED_PROTOS if CARRIED_PROTOS.is_dir() else HERE.parents[1] / "proto"


def generate(target: Path) -> list[Path]:
    """Writes the modules of package chunkkv.v1 below `target`; returns their paths."""
    from grpc_tools import protoc

    protos = sorted(str(path) for path in PROTOS.glob("chunkkv/v1/*.proto"))
    if not protos:
        raise RuntimeError(f"no .proto files below {PROTOS}")
    package = target / "chunkkv" / "v1"
    package.mkdir(parents=True, exist_ok=True)
    for stale in package.glob("*_pb2*"):
        stale.unlink()
    outputs = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", f"-I{PROTOS}", *outputs, *protos]):
        raise RuntimeError("protoc failed")
    (package / "__init__.py").write_text('"""Messages and stubs of the wire protocol, generated."""\n')
    return sorted(package.iterdir())


class BuildWithMessages(build_py):
    def run(self) -> None:
        self.generated = generate(HERE if self.editable_mode else Path(self.build_lib))
        super().run()

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return super().get_outputs(include_bytecode) + [str(path) for path in getattr(self, "generated", [])]


class SourceWithProtos(sdist):
    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        shutil.copytree(PROTOS / "chunkkv", Path(base_dir) / "proto" / "chunkkv")


setup(cmdclass={"build_py": BuildWithMessages, "sdist": SourceWithProtos})
