// Flags that describe a compaction, shared by `compact`, `put` and `get --accept`.
#ifndef CHUNKKV_CLIENT_CLI_SPEC_OPTIONS_H_
#define CHUNKKV_CLIENT_CLI_SPEC_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/spec.h"

namespace CLI {
class App;
}

namespace chunkkv::cli {

class SpecOptions {
 public:
  void AddTo(CLI::App& app);
  bool is_given() const { return !policy_.empty(); }

  // `layer_count` attention layers, over which --leaders become groups.
  // Errors: INVALID_ARGUMENT (BAD_POLICY, BAD_LEADERS, ...) naming the flag.
  absl::StatusOr<CompactionSpec> Spec(int32_t layer_count, std::vector<int32_t> chunk_starts) const;

 private:
  std::string policy_;
  std::optional<double> keep_ratio_;
  std::optional<int64_t> max_tokens_;
  std::optional<int32_t> chunk_length_;
  std::optional<int32_t> window_length_;
  std::optional<int32_t> reuse_group_;
  std::optional<std::string> group_score_;
  std::vector<int32_t> leaders_;
  std::optional<std::string> chunk_reduce_;
  std::optional<int32_t> pool_;
  std::optional<int32_t> sink_tokens_;
  std::optional<double> recent_ratio_;
  std::optional<int32_t> budget_multiple_;
  std::optional<double> min_retained_mass_;
  std::optional<std::string> on_low_mass_;
  std::optional<int64_t> max_raised_tokens_;
};

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_SPEC_OPTIONS_H_
