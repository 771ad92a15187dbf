#include "client/cli/put_file.h"

#include <cstring>
#include <numeric>

#include "chunkkv/kernels/status.h"
#include "client/cli/local_compaction.h"
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
std::vector<std::vector<int32_t>> PositionsOf(const PromptFile& file) {
  const EntryHeader& header = file.record()->header;
  std::vector<std::vector<int32_t>> positions(header.groups.size());
  for (size_t group = 0; group < positions.size(); ++group) {
    positions[group].resize(header.row_counts[group]);
    if (header.row_counts[group] == header.token_count) {
      std::iota(positions[group].begin(), positions[group].end(), 0);
      continue;
    }
    const auto bytes = BytesOf(file, file.FindTensor("positions." + std::to_string(group)));
    if (!bytes.empty()) std::memcpy(positions[group].data(), bytes.data(), bytes.size());
  }
  return positions;
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
  if (IsCompactedRecord(file)) {
    const EntryHeader& header = file.record()->header;
    positions = PositionsOf(file);
    request.spec = CompactionSpec();
    request.spec.policy = Policy::kExternal;
    request.spec.groups = header.groups;
    for (ReuseGroup& group : request.spec.groups) group.leader = -1;
    request.spec.label =
        header.spec.label.empty() ? std::string(PolicyName(header.outcome.policy_applied)) : header.spec.label;
    request.next_position = header.next_position;
    request.keys_contiguous = header.keys_contiguous;
    for (const std::vector<int32_t>& list : positions) {
      request.group_row_counts.push_back(static_cast<int64_t>(list.size()));
    }
  } else {
    CHUNKKV_ASSIGN_OR_RETURN(const ScoringPlan scoring, PlanScoring(file, request.spec));
    request.score_source = scoring.inputs.source;
    request.score_dtype = scoring.inputs.dtype;
    request.has_lse = scoring.inputs.has_lse;
    for (const int32_t layer : scoring.scored_layers) is_scored[layer] = true;
  }
  std::vector<client::LayerArrays> layers;
  for (int32_t layer = 0; layer < LayerCount(file.layout()); ++layer) {
    layers.push_back(ArraysOf(file, layer, is_scored[layer]));
  }
  return client.Put(request, layers, options, positions);
}

}  // namespace chunkkv::cli
