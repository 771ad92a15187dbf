#include "client/tune/refused_merge.h"

#include <utility>

namespace chunkkv::tune {
namespace {

// How badly off a layer is: first by the mean, where that is over its bound, else by its worst prompt.
std::pair<bool, double> Badness(const Loss& loss, const GroupRules& rules) {
  const bool is_over = loss.mean > rules.max_loss;
  return {is_over, is_over ? loss.mean : loss.worst};
}

int32_t WorstOffLayer(const LossTable& losses, const GroupRules& rules, const ReuseGroup& group) {
  int32_t worst = group.first_layer;
  for (int32_t layer = group.first_layer; layer < group.first_layer + group.layer_count; ++layer) {
    if (Badness(losses.Of(group, worst), rules) < Badness(losses.Of(group, layer), rules)) worst = layer;
  }
  return worst;
}

}  // namespace

RefusedMerge WhyNotMerged(const LossTable& losses, const GroupRules& rules, const ReuseGroup& one,
                          const ReuseGroup& other) {
  RefusedMerge refused;
  const int32_t count = one.layer_count + other.layer_count;
  if (count > losses.max_group()) return refused;
  for (const GroupOption& option : OptionsOf(losses, rules, one.first_layer, count)) {
    const int32_t layer = WorstOffLayer(losses, rules, option.group);
    const Loss& loss = losses.Of(option.group, layer);
    if (refused.best && !(Badness(loss, rules) < Badness(refused.loss, rules))) continue;
    refused = {option.group, layer, loss};
  }
  return refused;
}

}  // namespace chunkkv::tune
