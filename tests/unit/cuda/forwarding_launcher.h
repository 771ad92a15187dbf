#ifndef CHUNKKV_TESTS_UNIT_CUDA_FORWARDING_LAUNCHER_H_
#define CHUNKKV_TESTS_UNIT_CUDA_FORWARDING_LAUNCHER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "kernels/cuda/launcher.h"

namespace chunkkv::testing {

struct LaunchSeen {
  std::string_view kernel;  // the Launcher's function: "Score", "Gather", ...
  int64_t block_count = 0;
  int32_t steps = 0;  // of "Score", "FindDenominators" and "SumParts": ScoreVariant's
};

// Shows each launch to `choose` before it is started by the launcher that `choose` returns; null: by none.
using ChooseLauncher = std::function<const cuda::Launcher*(const LaunchSeen&)>;
std::unique_ptr<cuda::Launcher> MakeForwardingLauncher(ChooseLauncher choose);

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_CUDA_FORWARDING_LAUNCHER_H_
