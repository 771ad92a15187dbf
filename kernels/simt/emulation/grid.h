#ifndef CHUNKKV_KERNELS_SIMT_EMULATION_GRID_H_
#define CHUNKKV_KERNELS_SIMT_EMULATION_GRID_H_

#include <cstddef>
#include <cstdint>
#include <functional>

#include "kernels/simt/emulation/traffic.h"

namespace chunkkv::simt::emulation {

struct GridShape {
  int block_count = 1;
  int block_size = 32;  // a multiple of 32
  size_t shared_bytes = 0;
};

// Runs `kernel` as every thread of the grid, in the calling thread. Blocks run one after the other in random order, the
// threads of a block as fibers, of which a random one runs on whenever one waits; `seed` decides. Shared memory is of
// exactly the size asked for, and holds NaNs at first.
// Aborts, naming the place, where the threads of a block or the lanes of a warp wait at different places, where a
// thread ends while others wait for it, where an access is misaligned, and where a thread ends with a copy not waited
// for. `traffic`, where set, counts accesses to global memory.
void RunGrid(const GridShape& shape, uint64_t seed, const std::function<void()>& kernel, Traffic* traffic = nullptr);

}  // namespace chunkkv::simt::emulation

#endif  // CHUNKKV_KERNELS_SIMT_EMULATION_GRID_H_
