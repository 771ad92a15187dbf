#include "kernels/cuda/select_stage.h"

#include <algorithm>
#include <cstdint>

#include "kernels/common/candidates.h"
#include "kernels/cuda/mass_kernel.h"
#include "kernels/cuda/span_key_kernel.h"
#include "kernels/cuda/uploader.h"

namespace chunkkv::cuda {
namespace {

constexpr int64_t kLongSpan = 16;  // tokens on average, from which on a warp reads a span

bool HasGivenChunks(const Plan& plan) { return plan.policy == Policy::kChunkKv && !plan.chunk_starts.empty(); }

int64_t SpanCount(const Plan& plan, const SelectTask& task) {
  const Candidates candidates = CandidatesOf(plan, task.budget);
  return candidates.room > 0 ? Spans(plan, candidates).Count() : 0;
}

// What one launch's groups keep in the workspace.
struct Arrays {
  Arrays(const Plan& plan, absl::Span<const SelectTask> tasks, Scratch& scratch) {
    size_t words = 0;
    size_t spans = 0;
    for (const SelectTask& task : tasks) {
      if (task.token_scores.size() > 1) words += Uploader::Words<const float*>(task.token_scores.size());
      spans += static_cast<size_t>(SpanCount(plan, task));
    }
    if (HasGivenChunks(plan)) words += Uploader::Words<int32_t>(plan.chunk_starts.size());
    uploads = scratch.Take<uint32_t>(words);
    keys = scratch.Take<uint32_t>(spans);
  }
  uint32_t* uploads;  // starts of given chunks, addresses of several lists of token scores
  uint32_t* keys;     // [groups, spans]
};

absl::Status StartGroups(const Plan& plan, absl::Span<const SelectTask> tasks, Scratch scratch, const Stage& stage) {
  const Arrays arrays(plan, tasks, scratch);
  Uploader uploader(stage, arrays.uploads);
  const int32_t* starts = nullptr;
  if (HasGivenChunks(plan)) starts = uploader.Add(plan.chunk_starts.data(), plan.chunk_starts.size());
  const int32_t span_length = plan.policy == Policy::kChunkKv && starts == nullptr ? plan.chunk_length : 1;
  SelectParams params;
  params.token_count = static_cast<int32_t>(plan.token_count);
  params.past_length = static_cast<int32_t>(plan.past_length);
  params.pool = plan.pool;
  params.chunk_reduce = static_cast<int32_t>(plan.chunk_reduce);
  params.most_spans = 0;
  params.most_lists = 0;
  params.key_blocks = 0;
  params.by_span = MakeFastDivisor(static_cast<uint32_t>(span_length));
  params.group_count = static_cast<int32_t>(tasks.size());
  bool has_masses = false;
  uint32_t* keys = arrays.keys;
  for (size_t i = 0; i < tasks.size(); ++i) {
    const SelectTask& task = tasks[i];
    const Candidates candidates = CandidatesOf(plan, task.budget);
    SelectGroup& group = params.groups[i];
    const auto lists = task.token_scores;
    group.only_list = lists.size() == 1 ? lists[0] : nullptr;
    group.lists = lists.size() > 1 ? uploader.Add(lists.data(), lists.size()) : nullptr;
    group.keys = keys;
    group.positions = task.positions;
    group.retained_mass = task.retained_mass;
    group.spans.begin = static_cast<int32_t>(candidates.begin);
    group.spans.end = static_cast<int32_t>(candidates.end);
    group.spans.length = span_length;
    group.spans.count = static_cast<int32_t>(SpanCount(plan, task));
    group.spans.given = starts;
    group.room = static_cast<int32_t>(candidates.room);
    group.budget = static_cast<int32_t>(task.budget);
    group.list_count = static_cast<int32_t>(lists.size());
    group.warp_per_span = candidates.end - candidates.begin >= kLongSpan * group.spans.count;
    keys += group.spans.count;
    params.most_spans = std::max(params.most_spans, group.spans.count);
    const int64_t key_blocks = Blocks(group.spans.count, SpanKeyKernel::SpansPerBlock(group.warp_per_span));
    params.key_blocks = std::max(params.key_blocks, static_cast<int32_t>(key_blocks));
    params.most_lists = std::max(params.most_lists, group.list_count);
    has_masses = has_masses || task.retained_mass != nullptr;
  }
  if (absl::Status status = uploader.Finish(); !status.ok()) return status;

  absl::Status status = stage.Run(int64_t{params.key_blocks} * params.group_count,
                                  [&](const LaunchShape& shape) { return stage.launcher.KeySpans(params, shape); });
  if (!status.ok()) return status;
  status =
      stage.Run(params.group_count, [&](const LaunchShape& shape) { return stage.launcher.Select(params, shape); });
  if (!status.ok() || !has_masses) return status;
  return stage.Run(int64_t{params.group_count} * params.most_lists,
                   [&](const LaunchShape& shape) { return stage.launcher.FindMasses(params, shape); });
}

template <typename Visit>
void ForEachLaunch(absl::Span<const SelectTask> tasks, Visit visit) {
  for (size_t begin = 0; begin < tasks.size(); begin += kSelectGroupsPerLaunch) {
    visit(tasks.subspan(begin, kSelectGroupsPerLaunch));
  }
}

}  // namespace

absl::Status StartSelects(const Plan& plan, absl::Span<const SelectTask> tasks, Scratch scratch, const Stage& stage) {
  absl::Status status;
  ForEachLaunch(tasks, [&](absl::Span<const SelectTask> of_launch) {
    if (status.ok()) status = StartGroups(plan, of_launch, scratch, stage);
  });
  return status;
}

size_t SelectScratchBytes(const Plan& plan, absl::Span<const SelectTask> tasks) {
  size_t bytes = 0;
  ForEachLaunch(tasks, [&](absl::Span<const SelectTask> of_launch) {
    Scratch counter;
    const Arrays arrays(plan, of_launch, counter);
    bytes = std::max(bytes, counter.UsedBytes());
  });
  return bytes;
}

}  // namespace chunkkv::cuda
