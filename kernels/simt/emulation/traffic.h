#ifndef CHUNKKV_KERNELS_SIMT_EMULATION_TRAFFIC_H_
#define CHUNKKV_KERNELS_SIMT_EMULATION_TRAFFIC_H_

#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <unordered_set>

#include "kernels/simt/emulation/thread.h"

namespace chunkkv::simt::emulation {

// Counts the 32-byte sectors of global memory that a kernel touches. The n-th accesses of a warp's lanes at one place
// of the source are one instruction: sectors that they share count once.
class Traffic {
 public:
  struct Sectors {
    int64_t requested = 0;  // by warp instructions: what L1 and L2 see
    int64_t distinct = 0;   // of the whole kernel: the least that device memory sees
    int64_t requests = 0;   // warp instructions
  };

  // `nth`: how often the lane was at `site` before. `warp` is unique in the grid.
  void Add(int64_t warp, Site site, int64_t nth, Access access, const void* address, size_t bytes);

  Sectors Loads() const { return loads_.Total(); }
  Sectors Stores() const { return stores_.Total(); }

 private:
  struct Count {
    Sectors Total() const;
    std::map<std::tuple<int64_t, const char*, int, int64_t>, std::set<uintptr_t>> instructions;
    std::unordered_set<uintptr_t> distinct;
  };
  Count loads_;
  Count stores_;
};

}  // namespace chunkkv::simt::emulation

#endif  // CHUNKKV_KERNELS_SIMT_EMULATION_TRAFFIC_H_
