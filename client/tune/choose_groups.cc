#include "client/tune/choose_groups.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <tuple>

namespace chunkkv::tune {
namespace {

struct Cost {
  int32_t group_count = 0;
  int32_t scored_layers = 0;
  double loss_sum = 0;
  bool operator<(const Cost& other) const {
    return std::tie(group_count, scored_layers, loss_sum) <
           std::tie(other.group_count, other.scored_layers, other.loss_sum);
  }
};

// The best way to group the layers from some layer to the last.
struct Tail {
  Cost cost;
  ReuseGroup first;
};

}  // namespace

std::vector<ReuseGroup> ChooseGroups(const LossTable& losses, const GroupRules& rules) {
  const int32_t layer_count = losses.layer_count();
  std::vector<Tail> tails(layer_count + 1);
  for (int32_t first = layer_count - 1; first >= 0; --first) {
    std::optional<Tail> best;
    for (int32_t count = std::min(losses.max_group(), layer_count - first); count >= 1; --count) {
      const Cost& rest = tails[first + count].cost;
      for (const GroupOption& option : OptionsOf(losses, rules, first, count)) {
        if (count > 1 && !option.is_allowed) continue;
        const Cost cost{rest.group_count + 1, rest.scored_layers + option.scored_layers,
                        rest.loss_sum + option.loss_sum};
        if (!best || cost < best->cost) best = Tail{cost, option.group};
      }
    }
    tails[first] = *best;
  }
  std::vector<ReuseGroup> groups;
  for (int32_t first = 0; first < layer_count; first += groups.back().layer_count) {
    groups.push_back(tails[first].first);
  }
  return groups;
}

}  // namespace chunkkv::tune
