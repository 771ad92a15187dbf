#include "client/tune/group_options.h"

namespace chunkkv::tune {
namespace {

GroupOption Judge(const LossTable& losses, const GroupRules& rules, const ReuseGroup& group) {
  GroupOption option{
      .group = group, .scored_layers = group.leader >= 0 ? 1 : group.layer_count, .loss_sum = 0, .is_allowed = true};
  for (int32_t layer = group.first_layer; layer < group.first_layer + group.layer_count; ++layer) {
    const Loss& loss = losses.Of(group, layer);
    option.loss_sum += loss.mean;
    option.is_allowed = option.is_allowed && rules.Allow(loss);
  }
  return option;
}

}  // namespace

std::vector<GroupOption> OptionsOf(const LossTable& losses, const GroupRules& rules, int32_t first, int32_t count) {
  std::vector<GroupOption> options;
  if (count == 1 || rules.only != GroupScore::kSum) {
    for (int32_t leader = first; leader < first + count; ++leader) {
      options.push_back(Judge(losses, rules, {first, count, leader}));
    }
  }
  if (count > 1 && rules.only != GroupScore::kLeader) options.push_back(Judge(losses, rules, {first, count, -1}));
  return options;
}

}  // namespace chunkkv::tune
