#include "kernels/c/batch.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/digest_block.h"
#include "chunkkv/kernels/limits.h"
#include "chunkkv/kernels/status.h"
#include "kernels/c/read_struct.h"
#include "kernels/c/views.h"
#include "kernels/common/bad_task.h"

namespace chunkkv::c {
namespace {

// Of each kind in a batch: a key, a value and two scales of each layer, twice over.
constexpr uint64_t kMaxTaskCount = 8 * kMaxLayerCount;

static_assert(CHUNKKV_DIGEST_BLOCK_BYTES == kDigestBlockBytes);

absl::Status ReadRope(const chunkkv_rope* from, absl::string_view name, RopeShape* to) {
  chunkkv_rope rope;
  if (absl::Status status = ReadStruct(from, absl::StrCat(name, ".rope"), &rope); !status.ok()) return status;
  if (rope.rotary_dims < 0 || rope.rotary_dims > kMaxHeadSize || rope.rotary_dims % 2 != 0) {
    return InvalidArgument("BAD_ROPE",
                           absl::StrCat(name, ".rope.rotary_dims ", rope.rotary_dims, " is odd or too large"));
  }
  if (rope.rotary_dims > 0 && rope.inv_freq == nullptr) {
    return InvalidArgument("BAD_ROPE", absl::StrCat(name, ".rope.inv_freq is null"));
  }
  to->first_dim = rope.first_dim;
  to->rotary_dims = rope.rotary_dims;
  to->interleaved = rope.interleaved != 0;
  to->inv_freq.assign(rope.inv_freq, rope.inv_freq + rope.rotary_dims / 2);
  return absl::OkStatus();
}

}  // namespace

absl::Status OwnedBatch::ReadScore(const Plan& plan, absl::string_view name, const chunkkv_score_task& from) {
  if (from.layer < 0 || from.layer >= static_cast<int32_t>(plan.layers.size())) return BadTask(name, "no such layer");
  if (from.token_score_count != plan.past_length) {
    return BadTask(name,
                   absl::StrCat("token_scores has ", from.token_score_count, " elements, not ", plan.past_length));
  }
  const AttentionShape& shape = plan.layers[from.layer];
  const int64_t window = std::min(plan.window_length, plan.token_count);
  ScoreTask task;
  task.layer = from.layer;
  task.token_scores = from.token_scores;
  task.allows_chunk_means = from.allows_chunk_means != 0;
  absl::Status status;
  switch (plan.source) {
    case ScoreSource::kNone:
      break;  // Enqueue refuses it
    case ScoreSource::kQueryWindow:
      status = ReadRows(from.keys, absl::StrCat(name, ".keys"), &task.keys);
      if (status.ok()) {
        status = ReadDense(from.queries, absl::StrCat(name, ".queries"),
                           window * shape.query_head_count * shape.key_head_size, &task.queries);
      }
      if (status.ok() && from.key_scales != nullptr) {
        status = ReadRows(from.key_scales, absl::StrCat(name, ".key_scales"), &task.key_scales);
      }
      task.lse = from.lse;
      break;
    case ScoreSource::kAttention:
      status = ReadDense(from.attention, absl::StrCat(name, ".attention"),
                         window * shape.query_head_count * plan.token_count, &task.attention);
      break;
    case ScoreSource::kTokenScores:
      if (plan.past_length == 0) break;
      status = ReadDense(from.token_scores_in, absl::StrCat(name, ".token_scores_in"), plan.past_length,
                         &task.token_scores_in);
      break;
  }
  if (status.ok()) score_.push_back(task);
  return status;
}

absl::Status OwnedBatch::ReadSelect(const Plan& plan, absl::string_view name, const chunkkv_select_task& from) {
  if (from.group < 0 || from.group >= static_cast<int32_t>(plan.groups.size())) return BadTask(name, "no such group");
  if (from.budget < 0 || from.budget > plan.token_count) {
    return BadTask(name, absl::StrCat("budget ", from.budget, " is not one of this plan's"));
  }
  if (from.token_score_count > static_cast<uint64_t>(plan.groups[from.group].layer_count)) {
    return BadTask(name, "more lists of token scores than the group has layers");
  }
  if (from.token_score_count > 0 && from.token_scores == nullptr) return BadTask(name, "token_scores is null");
  if (score_lists_.size() <= select_.size()) score_lists_.emplace_back();
  std::vector<const float*>& lists = score_lists_[select_.size()];
  lists.assign(from.token_scores, from.token_scores + from.token_score_count);
  select_.push_back({from.group, from.budget, {}, from.positions, from.retained_mass});
  return absl::OkStatus();
}

absl::Status OwnedBatch::ReadGather(absl::string_view name, const chunkkv_gather_task& from) {
  GatherTask task;
  if (absl::Status s = ReadRows(from.source, absl::StrCat(name, ".source"), &task.source); !s.ok()) return s;
  if (absl::Status s = ReadPositions(from.positions, from.position_count, name, &task.positions); !s.ok()) return s;
  task.destination = static_cast<std::byte*>(from.destination);
  gather_.push_back(task);
  return CheckBytes(from.destination_bytes, from.position_count, task.source, name);
}

absl::Status OwnedBatch::ReadRotate(absl::string_view name, const chunkkv_rotate_task& from) {
  RotateTask task;
  if (absl::Status s = ReadRows(from.source, absl::StrCat(name, ".source"), &task.source); !s.ok()) return s;
  if (absl::Status s = ReadPositions(from.positions, from.position_count, name, &task.positions); !s.ok()) return s;
  if (ropes_.size() <= rotate_.size()) ropes_.emplace_back();
  RopeShape& rope = ropes_[rotate_.size()];
  if (absl::Status s = ReadRope(from.rope, name, &rope); !s.ok()) return s;
  task.rope = &rope;
  task.destination = static_cast<std::byte*>(from.destination);
  rotate_.push_back(task);
  return CheckBytes(from.destination_bytes, from.position_count, task.source, name);
}

absl::Status OwnedBatch::ReadScatter(absl::string_view name, const chunkkv_scatter_task& from) {
  ScatterTask task;
  if (absl::Status s = ReadRows(from.destination, absl::StrCat(name, ".destination"), &task.destination); !s.ok()) {
    return s;
  }
  if (absl::Status s = ReadPositions(from.positions, from.position_count, name, &task.positions); !s.ok()) return s;
  task.source = static_cast<const std::byte*>(from.source);
  scatter_.push_back(task);
  RowsView rows;
  rows.dtype = task.destination.dtype;
  rows.head_count = task.destination.head_count;
  rows.head_size = task.destination.head_size;
  return CheckBytes(from.source_bytes, from.position_count, rows, name);
}

absl::Status OwnedBatch::ReadDigest(absl::string_view name, const chunkkv_digest_task& from) {
  if (from.size_bytes > static_cast<uint64_t>(INT64_MAX)) return BadTask(name, "has more than 2^63 - 1 bytes");
  const uint64_t blocks = from.size_bytes / kDigestBlockBytes + (from.size_bytes % kDigestBlockBytes != 0);
  if (from.block_digest_count < blocks) {
    return BadTask(name,
                   absl::StrCat("block_digests has ", from.block_digest_count, " elements for ", blocks, " blocks"));
  }
  DigestTask task;
  task.data = static_cast<const std::byte*>(from.data);
  task.size_bytes = static_cast<int64_t>(from.size_bytes);
  task.block_digests = from.block_digests;
  digest_.push_back(task);
  return ReadPlace(from.memory_kind, from.device, name, &digest_.back().place);
}

absl::Status OwnedBatch::Read(const Plan& plan, const chunkkv_batch* from) {
  score_.clear();
  select_.clear();
  gather_.clear();
  rotate_.clear();
  scatter_.clear();
  digest_.clear();
  chunkkv_batch batch;
  if (absl::Status status = ReadStruct(from, "batch", &batch); !status.ok()) return status;
  absl::Status status =
      ReadStructs(batch.score, batch.score_count, kMaxTaskCount, "score",
                  [&](absl::string_view name, const auto& task) { return ReadScore(plan, name, task); });
  if (!status.ok()) return status;
  status = ReadStructs(batch.select, batch.select_count, kMaxTaskCount, "select",
                       [&](absl::string_view name, const auto& task) { return ReadSelect(plan, name, task); });
  if (!status.ok()) return status;
  for (size_t i = 0; i < select_.size(); ++i) select_[i].token_scores = score_lists_[i];  // none moves any more
  status = ReadStructs(batch.gather, batch.gather_count, kMaxTaskCount, "gather",
                       [&](absl::string_view name, const auto& task) { return ReadGather(name, task); });
  if (!status.ok()) return status;
  status = ReadStructs(batch.rotate, batch.rotate_count, kMaxTaskCount, "rotate",
                       [&](absl::string_view name, const auto& task) { return ReadRotate(name, task); });
  if (!status.ok()) return status;
  status = ReadStructs(batch.scatter, batch.scatter_count, kMaxTaskCount, "scatter",
                       [&](absl::string_view name, const auto& task) { return ReadScatter(name, task); });
  if (!status.ok()) return status;
  return ReadStructs(batch.digest, batch.digest_count, kMaxTaskCount, "digest",
                     [&](absl::string_view name, const auto& task) { return ReadDigest(name, task); });
}

}  // namespace chunkkv::c
