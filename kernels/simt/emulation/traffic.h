#ifndef CHUNKKV_KERNELS_SIMT_EMULATION_TRAFFIC_H_
#define CHUNKKV_KERNELS_SIMT_EMULATION_TRAFFIC_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <tuple>

#include "kernels/simt/emulation/thread.h"

namespace chunkkv::simt::emulation {

// Memory whose sectors are counted; by default all.
struct AddressRange {
  const void* begin = nullptr;
  size_t bytes = SIZE_MAX;
};

// Counts the 32-byte sectors of global memory that kernels touch. The n-th accesses of a warp's lanes at one place of
// the source are one instruction: sectors that they share count once.
class Traffic {
 public:
  struct Sectors {
    int64_t requested = 0;  // by warp instructions: what L1 and L2 see
    int64_t distinct = 0;   // by each grid: the least that device memory sees, where no grid finds sectors of another's
    int64_t requests = 0;   // warp instructions
  };

  // What is added from now on belongs to another grid.
  void StartGrid() { ++grid_; }
  // `nth`: how often the lane was at `site` before. `warp` is unique in the grid.
  void Add(int64_t warp, Site site, int64_t nth, Access access, const void* address, size_t bytes);

  Sectors Loads(AddressRange range = {}) const { return Total(loads_, range); }
  Sectors Stores(AddressRange range = {}) const { return Total(stores_, range); }

 private:
  // Sectors of each instruction: of a grid's warp, at a place in the source, for the n-th time.
  using Instructions = std::map<std::tuple<int64_t, int64_t, const char*, int, int64_t>, std::set<uintptr_t>>;

  static Sectors Total(const Instructions& instructions, AddressRange range);

  int64_t grid_ = 0;
  Instructions loads_;
  Instructions stores_;
};

}  // namespace chunkkv::simt::emulation

#endif  // CHUNKKV_KERNELS_SIMT_EMULATION_TRAFFIC_H_
