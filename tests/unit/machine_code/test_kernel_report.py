"""The report reads cuobjdump's listings. These are cut from real ones."""

import kernel_report
import pytest

LISTING = """
member libchunkkv_cuda.a:copy_rows.cu.o:

Fatbin elf code:
================
arch = sm_90
code version = [1,8]

Resource usage:
 Common:
  GLOBAL:0
 Function _Z6GatherPK5uint4:
  REG:10 STACK:0 SHARED:1152 LOCAL:0 CONSTANT[0]:544 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function _ZN7chunkkv5ScoreILi8EEEvPf:
  REG:255 STACK:32 SHARED:0 LOCAL:4 CONSTANT[0]:540 TEXTURE:0 SURFACE:0 SAMPLER:0

	code for sm_90
	.target	sm_90

		Function : _Z6GatherPK5uint4
	.headerflags	@"EF_CUDA_SM90 EF_CUDA_VIRTUAL_SM(EF_CUDA_SM90)"
        /*0000*/                   LDC R1, c[0x0][0x28] ;                  /* 0x00000a00ff017b82 */
                                                                           /* 0x000fe20000000800 */
        /*00d0*/               @P0 LDG.E.NA.128.CONSTANT R8, desc[UR4][R4.64] ;  /* 0x0000000404087981 */
        /*00e0*/             @!UP1 EXIT ;                                  /* 0x000000000000794d */
		..........

		Function : _ZN7chunkkv5ScoreILi8EEEvPf
        /*0010*/                   STL.64 [R1+0x8], R2 ;                   /* 0x0000080201007387 */
        /*0020*/                   LDL.LU R3, [R1] ;                       /* 0x0000000001037983 */
        /*0030*/                   LDL.U8 R3, [R1] ;                       /* 0x0000000001037983 */
        /*0040*/                   HMMA.16816.F32 R4, R8, R12, R4 ;        /* 0x0000000c0804723c */
        /*0050*/                   HMMA.16816.F32 R4, R8, R14, R4 ;        /* 0x0000000e0804723c */

Fatbin elf code:
================
arch = sm_100
Resource usage:
 Function _Z6GatherPK5uint4:
  REG:12 STACK:0 SHARED:1152 LOCAL:0 CONSTANT[0]:544 TEXTURE:0 SURFACE:0 SAMPLER:0
		Function : _Z6GatherPK5uint4
        /*0000*/                   EXIT ;                                  /* 0x000000000000794d */
"""


def test_resources_and_instructions_of_every_kernel_and_architecture():
    gather, score, newer = kernel_report.parse(LISTING)
    assert (gather.name, gather.architecture) == ("_Z6GatherPK5uint4", "sm_90")
    assert (gather.registers, gather.stack_bytes, gather.shared_bytes, gather.local_bytes) == (10, 0, 1152, 0)
    assert gather.instructions == {"LDC": 1, "LDG.E.NA.128.CONSTANT": 1, "EXIT": 1}
    assert (score.registers, score.stack_bytes, score.local_bytes) == (255, 32, 4)
    assert score.instructions["HMMA.16816.F32"] == 2
    assert (newer.name, newer.architecture, newer.registers) == ("_Z6GatherPK5uint4", "sm_100", 12)


def test_spills_are_the_bytes_of_local_accesses():
    gather, score, _ = kernel_report.parse(LISTING)
    assert (gather.spill_bytes, score.spill_bytes) == (0, 8 + 4 + 1)


@pytest.mark.parametrize("opcodes, moves", [
    (["MOV", "HMMA.16816.F32", "IMAD.MOV.U32", "FADD", "MOV", "HMMA.16816.F32", "MOV"], 2),
    (["HMMA.16816.F32", "MOV", "BRA", "MOV", "HMMA.16816.F32"], 0),
    (["MOV", "IMAD.WIDE", "EXIT"], 0),
])
def test_moves_among_products(opcodes, moves):
    assert kernel_report.count_moves_among_products(opcodes) == moves


def test_kernels_of_one_name_in_two_objects_are_two():
    other = LISTING.replace("member libchunkkv_cuda.a:copy_rows.cu.o", "member libchunkkv_cuda.a:other.cu.o")
    assert len(kernel_report.parse(LISTING + other)) == 6


def test_the_table_has_a_line_a_kernel():
    kernels = kernel_report.parse(LISTING)
    kernel_report.demangle(kernels)
    lines = kernel_report.table(kernels).splitlines()
    assert lines[0].startswith("2 kernels for sm_90 / sm_100;")
    assert [line.split() for line in lines[2:]] == [["10/12", "1152", "0", "0", "Gather"],
                                                    ["255", "0", "32", "13", "Score<8>"]]


@pytest.mark.parametrize("opcode, size", [("LDL", 4), ("STL.64", 8), ("LDL.LU.128", 16), ("STL.U8", 1), ("LDL.S16", 2)])
def test_bytes_of_an_access(opcode, size):
    assert kernel_report.access_bytes(opcode) == size
