// The primitives that kernels are written with: what a GPU thread can do beyond plain C++.
//
// Compiled by nvcc they are inline PTX (device.h). Compiled by a C++ compiler they run in an emulation (emulated.h), in
// which whole kernels, blocks and warps run on the host, threads as fibers in random order: under sanitizers, against
// the reference, on a machine without a GPU. Kernels include this header and nothing of either.
//
// clang-format off
//   Indices       ThreadIndex() BlockSize() BlockIndex() BlockCount() Lane() Warp()     one-dimensional, 32 lanes a warp
//   Barriers      SyncBlock() SyncWarp()                by all threads of the block, all lanes of the warp
//   Warp          Shuffle(v, lane) ShuffleXor(v, mask) ShuffleUp(v, delta) Ballot(bool)  by all 32 lanes
//   Shared        SharedMemory()                        the block's dynamic shared memory, aligned to 128 bytes
//                 AddShared(address, v)                 atomic
//   Global        Load(p) Stream(p) Store(p, v)         1, 2, 4, 8 or 16 aligned bytes; Stream: read once, past L1
//                 MinGlobal(address, v)                 atomic
//   Copies        CopyAsync(to_shared, from, valid)     16 bytes; zeros where !valid
//                 CommitCopies() WaitForCopies<left>()
//   Tensor cores  Mma<Element>(c, a, b0, b1)            m16n8k16, f16 or bf16 products added up in f32
//   Arithmetic    MulHigh(a, b)                         upper 64 bits of the product of two uint64
//                 Max(a, b)                             the other one of a NaN
//                 Exp2(x)                               2^x within two units in the last place; 0 below 2^-126
//                 Reciprocal(x)                         1 / x within one unit in the last place; 0 below 2^-126
//                 Log2(x)                               within 1e-7 absolutely, or two units in the last place
//                 ToFloat(f16 or bf16) ToF16(x) ToBF16(x)  nearest, ties to even
//                 BitCast<To>(v)                        the same bits
// clang-format on
// CHUNKKV_DEVICE before every function; CHUNKKV_UNROLL before loops whose arrays must stay in registers.
#ifndef CHUNKKV_KERNELS_SIMT_SIMT_H_
#define CHUNKKV_KERNELS_SIMT_SIMT_H_

#include <cstddef>
#include <cstdint>

namespace chunkkv::simt {

inline constexpr int kWarpSize = 32;

// What one thread moves at once.
struct alignas(16) Words4 {
  uint32_t word[4];
};

// Elements of tensor core products, by their bits.
struct F16 {
  uint16_t bits;
};
struct BF16 {
  uint16_t bits;
};

}  // namespace chunkkv::simt

#ifdef __CUDACC__
#include "kernels/simt/device.h"
#else
#include "kernels/simt/emulated.h"
#endif

#endif  // CHUNKKV_KERNELS_SIMT_SIMT_H_
