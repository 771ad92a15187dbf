#include "kernels/cuda/digest_stage.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/cuda/digest_params.h"

namespace chunkkv::cuda {
namespace {

constexpr auto kBlockBytes = static_cast<int64_t>(kDigestBlockBytes);

// The largest word that divides a span's address and size.
int32_t UnitBytes(const DigestSpan& span) {
  const auto all = reinterpret_cast<uintptr_t>(span.data) | static_cast<uintptr_t>(span.size_bytes) | 16;
  return static_cast<int32_t>(all & (~all + 1));
}

// A task's whole blocks and its last, shorter one, apart: a size that is no multiple of 16 concerns that one alone.
std::array<DigestSpan, 2> SpansOf(const DigestTask& task) {
  const int64_t last_bytes = task.size_bytes % kBlockBytes;
  const int64_t whole_bytes = task.size_bytes - last_bytes;
  return {{{task.data, task.block_digests, whole_bytes},
           {task.data + whole_bytes, task.block_digests + whole_bytes / kBlockBytes, last_bytes}}};
}

// Gathers spans of one alignment, and starts a kernel for as many as it takes.
class Launches {
 public:
  Launches(int32_t unit_bytes, const Stage& stage) : unit_bytes_(unit_bytes), stage_(stage) {}

  absl::Status Add(const DigestSpan& span) {
    params_.spans[params_.span_count++] = span;
    params_.most_items = std::max(params_.most_items, Blocks(span.size_bytes, kDigestBlocksPerItem * kBlockBytes));
    return params_.span_count < kDigestSpansPerLaunch ? absl::OkStatus() : Start();
  }

  // Starts what has been added. Errors: those of launches.
  absl::Status Start() {
    if (params_.span_count == 0) return absl::OkStatus();
    absl::Status status = stage_.Run(params_.span_count * params_.most_items, [this](const LaunchShape& shape) {
      return stage_.launcher.Digest(unit_bytes_, params_, shape);
    });
    params_.span_count = 0;
    params_.most_items = 0;
    return status;
  }

 private:
  int32_t unit_bytes_;
  const Stage& stage_;
  DigestParams params_ = {0, 0, xxh3::kTables, {}};
};

}  // namespace

absl::Status StartDigests(absl::Span<const DigestTask> tasks, const Stage& stage) {
  for (int32_t unit_bytes = 16; unit_bytes >= 1; unit_bytes /= 2) {
    Launches launches(unit_bytes, stage);
    for (const DigestTask& task : tasks) {
      for (const DigestSpan& span : SpansOf(task)) {
        if (span.size_bytes == 0 || UnitBytes(span) != unit_bytes) continue;
        if (absl::Status status = launches.Add(span); !status.ok()) return status;
      }
    }
    if (absl::Status status = launches.Start(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace chunkkv::cuda
