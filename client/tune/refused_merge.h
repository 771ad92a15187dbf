// Why two neighbouring groups stayed two.
#ifndef CHUNKKV_CLIENT_TUNE_REFUSED_MERGE_H_
#define CHUNKKV_CLIENT_TUNE_REFUSED_MERGE_H_

#include <cstdint>
#include <optional>

#include "chunkkv/kernels/spec.h"
#include "client/tune/group_options.h"
#include "client/tune/loss_table.h"

namespace chunkkv::tune {

struct RefusedMerge {
  // The two as one, choosing in the way whose worst-off layer is best off. Unset where they are longer than max_group.
  std::optional<ReuseGroup> best;
  int32_t layer = 0;  // the worst-off layer of `best`: largest mean loss; where all means are within max_loss, largest
                      // worst prompt
  Loss loss;          // that layer's, outside the rules
};

// `one` is followed by `other`; both are groups of ChooseGroups under these rules.
RefusedMerge WhyNotMerged(const LossTable& losses, const GroupRules& rules, const ReuseGroup& one,
                          const ReuseGroup& other);

}  // namespace chunkkv::tune

#endif  // CHUNKKV_CLIENT_TUNE_REFUSED_MERGE_H_
