"""What the compiled GPU kernels of a library use, read from its machine code by cuobjdump.

Run after each link of a library (ChunkkvCuda.cmake). Machine code rather than ptxas' messages: those are lost where a
compiler cache answers, and say nothing of instructions.
"""

import argparse
import collections
import dataclasses
import json
import pathlib
import re
import subprocess

RESOURCES = re.compile(r"^\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+) ")
INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)")
LOCAL_ACCESS = re.compile(r"^(?:LDL|STL)\b")
BRANCH = re.compile(r"^(?:BRA|BRX|CALL|RET|EXIT|BSYNC)\b")
MOVE = re.compile(r"^(?:IMAD\.)?MOV\b")
PRODUCT = re.compile(r"^HMMA\b")


@dataclasses.dataclass
class Kernel:
    """One kernel for one architecture.

    Shared memory is the static part, from sm_90 on with the driver's 1,024 bytes: what a launch asks for is not in the
    code.
    """

    name: str
    architecture: str
    registers: int = 0
    stack_bytes: int = 0
    shared_bytes: int = 0
    local_bytes: int = 0
    instructions: dict[str, int] = dataclasses.field(default_factory=dict)  # opcode with modifiers -> how many
    moves_among_products: int = 0  # between tensor core products with no branch between them

    @property
    def spill_bytes(self) -> int:
        """Bytes that its loads and stores of local memory name: spilled registers, and arrays not in registers."""
        local = {opcode: count for opcode, count in self.instructions.items() if LOCAL_ACCESS.match(opcode)}
        return sum(count * access_bytes(opcode) for opcode, count in local.items())


def access_bytes(opcode: str) -> int:
    """Bytes a thread moves in one load or store: LDL.128 has 16, LDL 4, LDL.U8 1."""
    width = re.search(r"\.[US]?(8|16|64|128)\b", opcode)
    return int(width[1]) // 8 if width else 4


def count_moves_among_products(opcodes: list[str]) -> int:
    moves, since_product = 0, None  # None: no product since the last branch
    for opcode in opcodes:
        if PRODUCT.match(opcode):
            moves, since_product = moves + (since_product or 0), 0
        elif BRANCH.match(opcode):
            since_product = None
        elif since_product is not None and MOVE.match(opcode):
            since_product += 1
    return moves


def parse(listing: str) -> list[Kernel]:
    """The kernels in the output of `cuobjdump -sass -res-usage`, in its order, under their mangled names."""
    kernels, code = {}, collections.defaultdict(list)
    member = architecture = kernel = None
    for line in listing.splitlines():
        words = line.split()
        if line.startswith("member "):
            member = words[1]
        elif line.startswith("arch = "):
            architecture, kernel = words[2], None
        elif words[:1] == ["Function"]:  # " Function NAME:" before its resources, "Function : NAME" before its code
            key = (member, architecture, words[-1].rstrip(":"))
            kernel = kernels.setdefault(key, Kernel(key[-1], architecture))
        elif kernel and (found := RESOURCES.match(line)):
            kernel.registers, kernel.stack_bytes, kernel.shared_bytes, kernel.local_bytes = map(int, found.groups())
        elif kernel and (found := INSTRUCTION.match(line)):
            code[key].append(found[1])
    for key, kernel in kernels.items():
        kernel.instructions = dict(collections.Counter(code[key]))
        kernel.moves_among_products = count_moves_among_products(code[key])
    return list(kernels.values())


def demangle(kernels: list[Kernel]) -> None:
    names = subprocess.run(["c++filt"], input="\n".join(kernel.name for kernel in kernels), text=True,
                           capture_output=True, check=True).stdout.splitlines()
    for kernel, name in zip(kernels, names):
        kernel.name = name


def shown_name(name: str) -> str:
    """Without parameters, return type and the namespaces that all have."""
    name = name.replace("(anonymous namespace)::", "").replace("chunkkv::", "").removeprefix("void ")
    depth = 0
    for at, letter in enumerate(name):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0 and at > 0:
            return name[:at]
    return name


def table(kernels: list[Kernel]) -> str:
    """One line a kernel; where the architectures differ, a figure of each, in the order of the heading."""
    rows = collections.defaultdict(list)
    for kernel in kernels:
        rows[shown_name(kernel.name)].append(kernel)
    architectures = list(dict.fromkeys(kernel.architecture for kernel in kernels))
    lines = [f"{len(rows)} kernels for {' / '.join(architectures)}; bytes of static shared memory, stack, spills",
             f"{'registers':>13}{'shared':>17}{'stack':>11}{'spills':>11}  kernel"]
    for name, versions in rows.items():
        columns = [[getattr(version, field) for version in versions]
                   for field in ("registers", "shared_bytes", "stack_bytes", "spill_bytes")]
        texts = ["/".join(map(str, values if len(set(values)) > 1 else values[:1])) for values in columns]
        lines.append("{:>13}{:>17}{:>11}{:>11}  {}".format(*texts, name))
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuobjdump", required=True)
    parser.add_argument("--output", required=True, help="writes OUTPUT.txt (the table) and OUTPUT.json")
    parser.add_argument("library")
    arguments = parser.parse_args()
    listing = subprocess.run([arguments.cuobjdump, "-sass", "-res-usage", arguments.library], text=True,
                             stdout=subprocess.PIPE, check=True).stdout
    kernels = parse(listing)
    demangle(kernels)
    pathlib.Path(f"{arguments.output}.json").write_text(json.dumps([vars(kernel) for kernel in kernels], indent=1))
    pathlib.Path(f"{arguments.output}.txt").write_text(table(kernels))
    print(table(kernels), end="")


if __name__ == "__main__":
    main()
