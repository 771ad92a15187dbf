#include "kernels/simt/emulation/grid.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/simt/emulation/block.h"

namespace chunkkv::simt::emulation {

void RunGrid(const GridShape& shape, uint64_t seed, const std::function<void()>& kernel, Traffic* traffic) {
  std::mt19937_64 random(seed);
  std::vector<int> order(shape.block_count);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), random);
  if (traffic != nullptr) traffic->StartGrid();
  Block block(shape, kernel, random, traffic);
  for (const int index : order) block.Run(index);
}

}  // namespace chunkkv::simt::emulation
