#include "client/tune/loss_table.h"

#include <algorithm>

#include "service/base/check.h"

namespace chunkkv::tune {

LossTable::LossTable(int32_t layer_count, int32_t max_group)
    : layer_count_(layer_count), max_group_(std::min(max_group, std::max(layer_count, 1))) {
  CHUNKKV_CHECK(max_group >= 1 && max_group <= kLargestMaxGroup);
  led_.resize(size_t(layer_count_) * (2 * max_group_ - 1));
  summed_.resize(size_t(layer_count_) * max_group_ * max_group_);
}

Loss& LossTable::Led(int32_t leader, int32_t follower) { return led_[LedIndex(leader, follower)]; }

Loss& LossTable::Summed(int32_t first, int32_t count, int32_t layer) {
  return summed_[SummedIndex(first, count, layer)];
}

const Loss& LossTable::Of(const ReuseGroup& group, int32_t layer) const {
  return group.leader >= 0 ? led_[LedIndex(group.leader, layer)]
                           : summed_[SummedIndex(group.first_layer, group.layer_count, layer)];
}

void LossTable::DivideMeans(double count) {
  for (Loss& loss : led_) loss.mean /= count;
  for (Loss& loss : summed_) loss.mean /= count;
}

size_t LossTable::LedIndex(int32_t leader, int32_t follower) const {
  const int32_t offset = follower - leader + max_group_ - 1;
  CHUNKKV_CHECK(leader >= 0 && leader < layer_count_ && offset >= 0 && offset < 2 * max_group_ - 1);
  return size_t(leader) * (2 * max_group_ - 1) + offset;
}

size_t LossTable::SummedIndex(int32_t first, int32_t count, int32_t layer) const {
  const int32_t offset = layer - first;
  CHUNKKV_CHECK(first >= 0 && first + count <= layer_count_ && count <= max_group_ && offset >= 0 && offset < count);
  return (size_t(first) * max_group_ + (count - 1)) * max_group_ + offset;
}

}  // namespace chunkkv::tune
