// Compaction of a prompt file in this process, without a server: the same kernels, the same record.
#ifndef CHUNKKV_CLIENT_CLI_LOCAL_COMPACTION_H_
#define CHUNKKV_CLIENT_CLI_LOCAL_COMPACTION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/plan.h"
#include "chunkkv/kernels/spec.h"
#include "client/cli/prompt_file.h"
#include "service/format/entry_header.h"

namespace chunkkv::cli {

// What a compaction of a prompt file does, and which layers it scores from what.
struct ScoringPlan {
  Plan plan;
  ScoreInputs inputs;
  std::vector<int32_t> scored_layers;  // numbers of layers of the file
};

// Errors: those of MakePlan and PromptFile::CheckScores.
absl::StatusOr<ScoringPlan> PlanScoring(const PromptFile& file, const CompactionSpec& spec);

struct CompactedPrompt {
  EntryHeader header;  // identity only where the prompt file is a record
  std::unique_ptr<std::byte[]> body;
  absl::Span<const std::byte> body_span() const { return {body.get(), static_cast<size_t>(header.BodyBytes())}; }
};

struct LocalCompactionOptions {
  PositionMode position_mode = PositionMode::kOriginal;
  const Compactor* compactor = nullptr;
  // Told as groups are done: groups done, of all.
  std::function<void(int64_t done, int64_t total)> on_progress;
};

// Reads the file group by group; memory beyond the result is the token scores, and one list of positions a group.
// Errors: INVALID_ARGUMENT, FAILED_PRECONDITION (LOW_RETAINED_MASS with the masses, NO_ROPE, ALREADY_COMPACTED).
absl::StatusOr<CompactedPrompt> CompactPromptFile(const PromptFile& file, const CompactionSpec& spec,
                                                  const LocalCompactionOptions& options);

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_LOCAL_COMPACTION_H_
