// Flags that describe a compaction, shared by `compact`, `put`, `get --accept` and `tune`.
#ifndef CHUNKKV_CLIENT_CLI_SPEC_OPTIONS_H_
#define CHUNKKV_CLIENT_CLI_SPEC_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/spec.h"
#include "service/format/bytes.h"

namespace CLI {
class App;
}

namespace chunkkv::cli {

class SpecOptions {
 public:
  void AddTo(CLI::App& app);
  // The profile by its name on the server.
  void AddServerProfileTo(CLI::App& app);
  // Only what a layer chooses its tokens by: no groups, no guardrail.
  void AddChoiceTo(CLI::App& app);
  bool is_given() const { return !policy_.empty(); }
  // Whether any flag of AddChoiceTo is given.
  bool has_choice() const;

  // `layer_count` attention layers, over which --leaders become groups. `fingerprint` of the model, where it is known:
  // --profile must be of it. A profile that was measured with another choice than this one is used, and a note on
  // stderr says so. Errors: INVALID_ARGUMENT (BAD_POLICY, BAD_LEADERS, ...) naming the flag, FAILED_PRECONDITION
  // (PROFILE_OF_ANOTHER_MODEL), those of ReadReuseProfile.
  absl::StatusOr<CompactionSpec> Spec(int32_t layer_count, std::vector<int32_t> chunk_starts,
                                      const std::optional<Bytes32>& fingerprint) const;

 private:
  absl::Status UseLeaders(int32_t layer_count, CompactionSpec* spec) const;
  absl::Status UseProfile(const std::optional<Bytes32>& fingerprint, CompactionSpec* spec) const;

  std::string policy_;
  std::optional<double> keep_ratio_;
  std::optional<int64_t> max_tokens_;
  std::optional<int32_t> chunk_length_;
  std::optional<int32_t> window_length_;
  std::optional<int32_t> reuse_group_;
  std::optional<std::string> group_score_;
  std::vector<int32_t> leaders_;
  std::string profile_;
  std::string server_profile_;
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
