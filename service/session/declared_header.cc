#include "service/session/declared_header.h"

#include <algorithm>
#include <string>

#include "service/session/checked_bytes.h"
#include "service/session/part_arrivals.h"
#include "service/session/range_set.h"
#include "service/store/header_bytes.h"

namespace chunkkv {
namespace {

// The session's own objects and its places in tables, and those of a layer: coverage of score inputs, its plan, flags,
// its stage and score inputs.
constexpr int64_t kSessionBytes = 8 << 10;
constexpr int64_t kLayerBytes = 1 << 10;
// Vectors that grow element by element may have twice the room they need.
constexpr int64_t kGrowth = 2;

template <typename T>
int64_t BytesOf(int64_t count) {
  return CheckedProduct({static_cast<int64_t>(sizeof(T)), count});
}

int64_t NameBytes(const TensorSpec& spec) { return spec.name.size() > 15 ? static_cast<int64_t>(spec.name.size()) : 0; }

// Ranges that `units` rows or bytes can be scattered into.
int64_t MostRanges(int64_t units) { return std::min(units / 2 + 1, static_cast<int64_t>(RangeSet::kMaxRanges)); }

int64_t SlotBytes(const PutPlan& put) {
  int64_t bytes = 0;
  for (const LayerPlan& layer : put.layers) {
    for (const TensorSpec& spec : layer.tensors) bytes += BytesOf<TensorSlot>(1) + NameBytes(spec);
  }
  return bytes;
}

}  // namespace

EntryHeader DeclaredHeader(const PutRequest& request, const PutPlan& put) {
  EntryHeader header;
  header.tenant = request.tenant;
  header.model = request.model;
  header.shard = request.shard;
  header.key = request.key;
  header.variant = VariantOf(request.spec);
  header.block_size = request.prompt.block_size;
  header.spec = request.spec;
  header.outcome.budget_change = put.plan.budget_change;
  header.layout = request.layout;
  header.token_count = put.plan.token_count;
  header.next_position = request.next_position == 0 ? put.plan.token_count : request.next_position;
  header.keys_contiguous = request.keys_contiguous;
  header.groups = put.plan.groups;
  return header;
}

int64_t MostOverheadBytes(const PutRequest& request, const PutPlan& put) {
  const auto groups = static_cast<int64_t>(put.plan.groups.size());
  const auto layers = static_cast<int64_t>(put.plan.layers.size());
  const int64_t each =
      CheckedSum({HeaderBytes(DeclaredHeader(request, put)), SlotBytes(put), BytesOf<LayerMass>(kGrowth * layers),
                  BytesOf<double>(kGrowth * groups), BytesOf<int64_t>(groups), BytesOf<std::vector<int32_t>>(groups)});
  int64_t positions = 0;
  if (!put.keeps_everything) {
    for (const int64_t rows : put.row_counts) {
      positions = CheckedSum({positions, put.decides_last ? put.largest_budget : rows});
    }
  }
  return OverheadBytes(CheckedSum({each, BytesOf<int32_t>(positions)}), each, request.prompt.digests.size());
}

int64_t SessionBytes(const PutRequest& request, const PutPlan& put) {
  int64_t tensors = 0;
  int64_t ranges = 0;
  int64_t names = 0;
  int64_t sinks = 0;
  for (const LayerPlan& layer : put.layers) {
    tensors += static_cast<int64_t>(layer.tensors.size());
    for (const TensorSpec& spec : layer.tensors) {
      names += NameBytes(spec);
      ranges += MostRanges(spec.is_per_token() ? put.plan.token_count : spec.size_bytes);
    }
    if (layer.attention_layer < 0) continue;
    const ScoreInputBytes& bytes = put.score_bytes[layer.attention_layer];
    for (const int64_t units : {bytes.queries, bytes.lse, bytes.attention, bytes.token_scores}) {
      ranges += MostRanges(units);
    }
    sinks += static_cast<int64_t>(put.plan.layers[layer.attention_layer].sink_logits.size());
  }
  const int64_t first_ranges = tensors + 4 * static_cast<int64_t>(put.plan.layers.size());
  ranges = std::min(ranges, first_ranges + PartArrivals::kMaxGaps);
  // The body's slots become the header's; those of a second body, made at the end, are the session's.
  const int64_t second_body = put.decides_last ? SlotBytes(put) + BytesOf<size_t>(kGrowth * tensors) : 0;
  return CheckedSum({kSessionBytes, kLayerBytes * static_cast<int64_t>(put.layers.size()), names, second_body,
                     HeaderBytes(DeclaredHeader(request, put)),
                     BytesOf<Bytes32>(static_cast<int64_t>(request.prompt.digests.size())),
                     BytesOf<int32_t>(static_cast<int64_t>(put.plan.chunk_starts.size())), BytesOf<float>(sinks),
                     BytesOf<TensorSpec>(kGrowth * tensors), BytesOf<PartCoverage>(kGrowth * tensors),
                     BytesOf<size_t>(kGrowth * tensors), BytesOf<Bytes16>(kGrowth * tensors),
                     CheckedProduct({RangeSet::kMostBytesPerRange, ranges})});
}

}  // namespace chunkkv
