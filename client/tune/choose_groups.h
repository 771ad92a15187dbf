// Reuse groups from measured losses.
#ifndef CHUNKKV_CLIENT_TUNE_CHOOSE_GROUPS_H_
#define CHUNKKV_CLIENT_TUNE_CHOOSE_GROUPS_H_

#include <vector>

#include "chunkkv/kernels/spec.h"
#include "client/tune/group_options.h"
#include "client/tune/loss_table.h"

namespace chunkkv::tune {

// Groups that cover all layers in order, each of at most max_group layers and within the rules: as few as there can be;
// of those the ones with the fewest scored layers, then with the smallest sum of mean losses, then with the longest
// first groups and the lowest leaders. A layer by itself loses nothing, so there always are some.
std::vector<ReuseGroup> ChooseGroups(const LossTable& losses, const GroupRules& rules);

}  // namespace chunkkv::tune

#endif  // CHUNKKV_CLIENT_TUNE_CHOOSE_GROUPS_H_
