// What layers lose when they keep what others chose.
#ifndef CHUNKKV_CLIENT_TUNE_LOSS_TABLE_H_
#define CHUNKKV_CLIENT_TUNE_LOSS_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "chunkkv/kernels/spec.h"

namespace chunkkv::tune {

inline constexpr int32_t kLargestMaxGroup = 32;  // bounds the table: N * 32 * 32 losses of SUM

// Relative loss of a layer's retained mass, 1 - m(what was kept) / m(the layer's own choice), over prompts. Below 0
// where the other's choice holds more: a visit of chunks that ends in a part of one is not the best there is.
struct Loss {
  double mean = 0;
  double worst = 0;
  int64_t worst_prompt = -1;  // number among all that were given to the meter; -1: none
};

// Losses of every layer in every group of up to `max_group` consecutive layers. A LEADER's choice is the same whatever
// the group, so a pair of layers names the loss; that of SUM depends on all layers of the group.
class LossTable {
 public:
  // `max_group` in [1, kLargestMaxGroup].
  LossTable(int32_t layer_count, int32_t max_group);

  int32_t layer_count() const { return layer_count_; }
  int32_t max_group() const { return max_group_; }

  // Of `follower` under the choice of `leader`; they are less than max_group apart.
  Loss& Led(int32_t leader, int32_t follower);
  // Of `layer` where all of [first, first + count) choose together; count <= max_group.
  Loss& Summed(int32_t first, int32_t count, int32_t layer);
  // Of `layer` in `group`: under its leader, or SUM where there is none.
  const Loss& Of(const ReuseGroup& group, int32_t layer) const;

  // Turns sums into means.
  void DivideMeans(double count);

 private:
  size_t LedIndex(int32_t leader, int32_t follower) const;
  size_t SummedIndex(int32_t first, int32_t count, int32_t layer) const;

  int32_t layer_count_;
  int32_t max_group_;
  std::vector<Loss> led_;     // [leader, follower - leader + max_group - 1]
  std::vector<Loss> summed_;  // [first, count - 1, layer - first]
};

}  // namespace chunkkv::tune

#endif  // CHUNKKV_CLIENT_TUNE_LOSS_TABLE_H_
