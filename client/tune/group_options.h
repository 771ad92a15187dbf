// The ways in which consecutive layers may share one choice, and what the bound says of each.
#ifndef CHUNKKV_CLIENT_TUNE_GROUP_OPTIONS_H_
#define CHUNKKV_CLIENT_TUNE_GROUP_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "chunkkv/kernels/spec.h"
#include "client/tune/loss_table.h"

namespace chunkkv::tune {

// What groups may cost and how they may choose.
struct GroupRules {
  double max_loss = 0;                   // of every layer's mean loss
  std::optional<double> max_worst_loss;  // of every layer's loss in its worst prompt
  std::optional<GroupScore> only;        // groups of two layers and more choose in this way only

  bool Allow(const Loss& loss) const {
    return loss.mean <= max_loss && (!max_worst_loss || loss.worst <= *max_worst_loss);
  }
};

// One group that chooses in one way.
struct GroupOption {
  ReuseGroup group;           // no leader: SUM
  int32_t scored_layers = 0;  // 1, or all
  double loss_sum = 0;        // of the layers' mean losses
  bool is_allowed = false;    // every layer within the rules
};

// Of the group of `count` layers from `first`: each leader in order, then SUM, as the rules allow them. A group of one
// layer leads itself.
std::vector<GroupOption> OptionsOf(const LossTable& losses, const GroupRules& rules, int32_t first, int32_t count);

}  // namespace chunkkv::tune

#endif  // CHUNKKV_CLIENT_TUNE_GROUP_OPTIONS_H_
