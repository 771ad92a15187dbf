#include "client/cli/put_file.h"

#include <numeric>

#include "chunkkv/kernels/status.h"
#include "client/cli/local_compaction.h"
#include "client/cli/progress.h"
#include "service/base/status_macros.h"

namespace chunkkv::cli {
namespace {

absl::Span<const std::byte> BytesOf(const PromptFile& file, const SafetensorsTensor* tensor) {
  return tensor == nullptr ? absl::Span<const std::byte>() : file.Bytes(*tensor);
}

client::LayerArrays ArraysOf(const PromptFile& file, int32_t layer, bool is_scored) {
  client::LayerArrays arrays;
  const LayerRun& run = *FindRun(file.layout(), layer);
  if (!run.is_attention()) {
    for (const NamedTensor& tensor : run.named_tensors) {
      arrays.named.emplace_back(tensor.name, BytesOf(file, file.Find(layer, tensor.name)));
    }
    return arrays;
  }
  arrays.keys = BytesOf(file, file.Find(layer, "k"));
  arrays.values = BytesOf(file, file.Find(layer, "v"));
  arrays.key_scales = BytesOf(file, file.Find(layer, "k_scale"));
  arrays.value_scales = BytesOf(file, file.Find(layer, "v_scale"));
  if (!is_scored) return arrays;
  const LayerScores scores = file.ScoresOf(layer);
  arrays.queries = BytesOf(file, scores.queries);
  arrays.lse = BytesOf(file, scores.lse);
  arrays.attention = BytesOf(file, scores.attention);
  arrays.token_scores = BytesOf(file, scores.token_scores);
  return arrays;
}

// The record's own positions, one list a group, spelt out.
std::vector<std::vector<int32_t>> PositionsOf(const EntryHeader& header) {
  std::vector<std::vector<int32_t>> positions = header.positions;
  for (size_t group = 0; group < positions.size(); ++group) {
    if (header.row_counts[group] != header.token_count) continue;
    positions[group].resize(header.token_count);
    std::iota(positions[group].begin(), positions[group].end(), 0);
  }
  return positions;
}

// What will be sent, nearly: scores that are computed here and not sent count for nothing.
int64_t BytesToSend(absl::Span<const client::LayerArrays> layers, bool selects_first, double kept_share) {
  double bytes = 0;
  for (const client::LayerArrays& arrays : layers) {
    const double rows = static_cast<double>(arrays.keys.size() + arrays.values.size() + arrays.key_scales.size() +
                                            arrays.value_scales.size());
    const double scores = static_cast<double>(arrays.queries.size() + arrays.lse.size() + arrays.attention.size());
    bytes += selects_first ? rows * kept_share : rows + scores;
    bytes += static_cast<double>(arrays.token_scores.size());
    for (const auto& [name, named] : arrays.named) bytes += static_cast<double>(named.size());
  }
  return static_cast<int64_t>(bytes);
}

}  // namespace

bool IsCompactedRecord(const PromptFile& file) {
  return file.record() != nullptr && file.record()->header.outcome.policy_applied != Policy::kFull;
}

absl::StatusOr<client::PutResult> PutFile(client::Client& client, const PromptFile& file, client::PutRequest request,
                                          const client::CallOptions& options) {
  request.layout = file.layout();
  request.token_count = file.token_count();
  if (file.record() != nullptr) request.shard = file.record()->header.shard;
  std::vector<std::vector<int32_t>> positions;
  std::vector<bool> is_scored(LayerCount(file.layout()));
  double kept_share = 1;
  EntryHeader record;
  if (file.record() != nullptr) {
    CHUNKKV_ASSIGN_OR_RETURN(record, file.VerifyRecord());
  }
  if (IsCompactedRecord(file)) {
    positions = PositionsOf(record);
    request.spec = CompactionSpec();
    request.spec.policy = Policy::kExternal;
    request.spec.groups = record.groups;
    for (ReuseGroup& group : request.spec.groups) group.leader = -1;
    request.spec.label =
        record.spec.label.empty() ? std::string(PolicyName(record.outcome.policy_applied)) : record.spec.label;
    request.next_position = record.next_position;
    request.keys_contiguous = record.keys_contiguous;
    for (const std::vector<int32_t>& list : positions) {
      request.group_row_counts.push_back(static_cast<int64_t>(list.size()));
    }
  } else {
    CompactionSpec spec = request.spec;
    spec.profile.clear();  // the server knows its groups: any layer may be one that chooses
    CHUNKKV_ASSIGN_OR_RETURN(const ScoringPlan scoring, PlanScoring(file, spec));
    request.score_source = scoring.inputs.source;
    request.score_dtype = scoring.inputs.dtype;
    request.has_lse = scoring.inputs.has_lse;
    for (const int32_t layer : scoring.scored_layers) is_scored[layer] = true;
    kept_share = static_cast<double>(scoring.plan.budget) / static_cast<double>(scoring.plan.token_count);
  }
  std::vector<client::LayerArrays> layers;
  for (int32_t layer = 0; layer < LayerCount(file.layout()); ++layer) {
    layers.push_back(ArraysOf(file, layer, is_scored[layer]));
  }
  Progress progress("putting", BytesToSend(layers, request.send_mode == client::SendMode::kSelectThenSend, kept_share));
  request.on_sent = [&](int64_t sent_bytes) { progress.Set(sent_bytes); };
  return client.Put(request, layers, options, positions);
}

}  // namespace chunkkv::cli
