"""What must hold of the machine code of every kernel that the build made."""

import copy
import json
import os
import pathlib
import re

import pytest
from kernel_report import Kernel

ROOT = pathlib.Path(__file__).resolve().parents[3]

LOADS_16_BYTES = re.compile(r"\b(Gather|Scatter|Digest)Kernel<[\w:]*Words4>")
STORES_16_BYTES = re.compile(r"\b(Gather|Scatter)Kernel<[\w:]*Words4>")
UNITS_OF_1_BYTE = re.compile(r"\b(Gather|Scatter|Digest)Kernel<unsigned char>|\bPlain\w+Kernel\b")  # fp8 keys, too
TENSOR_CORES = re.compile(r"\b(Score|Denominator|PartSum)Kernel<")
MOST_MOVES_PER_PRODUCT = 0.25  # operands are loaded into the registers that the products take them from


def violations(kernel: Kernel) -> list[str]:
    """What is wrong with a kernel, in words."""
    found = []

    def hold(condition, text):
        if not condition:
            found.append(f"{kernel.architecture} {kernel.name}: {text}")

    def has(pattern):
        return any(re.match(pattern, opcode) for opcode in kernel.instructions)

    hold(kernel.registers > 0 and kernel.instructions, "no resources or no code listed")
    hold(kernel.stack_bytes == 0, f"{kernel.stack_bytes} bytes of stack")
    hold(kernel.local_bytes == 0, f"{kernel.local_bytes} bytes of local memory")
    hold(kernel.spill_bytes == 0, f"loads or stores local memory, {kernel.spill_bytes} bytes")
    if LOADS_16_BYTES.search(kernel.name):
        hold(has(r"LDG\b.*\.128\b"), "no global loads of 128 bits")
    if STORES_16_BYTES.search(kernel.name):
        hold(has(r"STG\b.*\.128\b"), "no global stores of 128 bits")
    if TENSOR_CORES.search(kernel.name):
        hold(has(r"HMMA\b"), "no tensor core products")
        hold(has(r"LDG\b.*\.128\b"), "no global loads of 128 bits")
        products = sum(count for opcode, count in kernel.instructions.items() if opcode.startswith("HMMA"))
        moves = kernel.moves_among_products
        hold(moves <= MOST_MOVES_PER_PRODUCT * products, f"{moves} register moves among {products} products")
    if not UNITS_OF_1_BYTE.search(kernel.name):
        hold(not has(r"LDG\b.*\.[US]8\b"), "takes words apart into global loads of single bytes")
    return found


@pytest.fixture(scope="module")
def kernels() -> list[Kernel]:
    """The kernels of the build that CHUNKKV_KERNEL_REPORT names, else of the newest with CUDA."""
    if "CHUNKKV_KERNEL_REPORT" in os.environ:
        reports = [pathlib.Path(os.environ["CHUNKKV_KERNEL_REPORT"])]
    else:
        built = ROOT.glob("build/*/kernels/cuda/chunkkv_cuda.kernels.json")
        reports = sorted(built, key=lambda path: path.stat().st_mtime)
    if not reports or not reports[-1].exists():
        pytest.skip("no kernels were built: no CUDA compiler (deploy/install-cuda.sh), or no cuobjdump beside it")
    return [Kernel(**row) for row in json.loads(reports[-1].read_text())]


def test_kernels_hold_what_they_must(kernels):
    found = [text for kernel in kernels for text in violations(kernel)]
    assert not found, "\n".join(found)


KINDS = [LOADS_16_BYTES, STORES_16_BYTES, UNITS_OF_1_BYTE, TENSOR_CORES]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.pattern)
def test_the_rules_find_their_kernels(kernels, kind):
    assert any(kind.search(kernel.name) for kernel in kernels)


def test_every_kernel_is_there_for_every_architecture(kernels):
    architectures = {kernel.architecture for kernel in kernels}
    for name in {kernel.name for kernel in kernels}:
        assert {kernel.architecture for kernel in kernels if kernel.name == name} == architectures


GATHER = Kernel("void Run<chunkkv::cuda::GatherKernel<chunkkv::simt::Words4> >(Params)", "sm_90", registers=32,
                instructions={"LDG.E.NA.128.CONSTANT": 8, "STG.E.128": 8, "LDG.E": 1})
DIGEST = Kernel("void Run<chunkkv::cuda::DigestKernel<chunkkv::simt::Words4> >(Params)", "sm_90", registers=80,
                instructions={"LDG.E.NA.128.CONSTANT": 12, "STG.E.64": 1})
SCORE = Kernel("void Run<chunkkv::cuda::ScoreKernel<chunkkv::simt::F16, 4> >(Params)", "sm_90", registers=128,
               instructions={"LDG.E.128": 8, "HMMA.16816.F32": 64, "STG.E": 1})


def test_sound_kernels_pass():
    plain = Kernel("void Run<PlainScoreKernel>(Params)", "sm_90", registers=32, instructions={"LDG.E.U16": 8})
    of_bytes = Kernel("void Run<GatherKernel<unsigned char> >(Params)", "sm_90", registers=32,
                      instructions={"LDG.E.U8": 8})
    assert [violations(kernel) for kernel in (GATHER, DIGEST, SCORE, plain, of_bytes)] == [[], [], [], [], []]


@pytest.mark.parametrize(
    "kernel, change, text",
    [
        (SCORE, {"stack_bytes": 16}, "16 bytes of stack"),
        (SCORE, {"local_bytes": 4}, "4 bytes of local memory"),
        (SCORE, {"instructions": {**SCORE.instructions, "STL.64": 1}}, "loads or stores local memory, 8 bytes"),
        (SCORE, {"instructions": {"LDG.E.128": 8, "FFMA": 64}}, "no tensor core products"),
        (SCORE, {"instructions": {"LDG.E.64": 8, "HMMA.16816.F32": 64}}, "no global loads of 128 bits"),
        (SCORE, {"moves_among_products": 40}, "40 register moves among 64 products"),
        (GATHER, {"instructions": {"LDG.E.64": 16, "STG.E.128": 8}}, "no global loads of 128 bits"),
        (GATHER, {"instructions": {"LDS.128": 8, "LDG.E": 8, "STG.E.128": 8}}, "no global loads of 128 bits"),
        (GATHER, {"instructions": {"LDG.E.128": 8, "STG.E.64": 8}}, "no global stores of 128 bits"),
        (GATHER, {"instructions": {**GATHER.instructions, "LDG.E.U8": 4}}, "global loads of single bytes"),
        (GATHER, {"registers": 0}, "no resources"),
        (DIGEST, {"instructions": {"LDG.E.64": 24, "STG.E.64": 1}}, "no global loads of 128 bits"),
    ],
)
def test_a_broken_kernel_is_found(kernel, change, text):
    broken = copy.copy(kernel)
    vars(broken).update(change)
    (found,) = violations(broken)
    assert text in found
