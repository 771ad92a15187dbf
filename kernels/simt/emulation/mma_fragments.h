// Which lane holds which element of the operands of mma.m16n8k16 with 16-bit elements and f32 accumulators.
// Source: PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type".
#ifndef CHUNKKV_KERNELS_SIMT_EMULATION_MMA_FRAGMENTS_H_
#define CHUNKKV_KERNELS_SIMT_EMULATION_MMA_FRAGMENTS_H_

#include <cstddef>
#include <cstdint>

namespace chunkkv::simt::emulation {

struct MatrixPlace {
  int row;
  int column;
};

// Element i of a lane's operand: A [16, 16] has 8 elements a lane, B [16, 8] 4, C [16, 8] 4. Elements 2r and 2r + 1 of
// A and B lie in register r, the lower in its low half.
MatrixPlace PlaceInA(int lane, int i);
MatrixPlace PlaceInB(int lane, int i);
MatrixPlace PlaceInC(int lane, int i);

struct MmaOperands {
  uint32_t a[4];
  uint32_t b[2];
};

// Replaces the operands of 32 lanes, at `values`, by the product A * B, float [16, 8].
void MultiplyF16(std::byte* values);
void MultiplyBF16(std::byte* values);

}  // namespace chunkkv::simt::emulation

#endif  // CHUNKKV_KERNELS_SIMT_EMULATION_MMA_FRAGMENTS_H_
