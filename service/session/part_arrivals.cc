#include "service/session/part_arrivals.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/check.h"
#include "service/base/status_macros.h"
#include "service/session/put_session.h"

namespace chunkkv {
namespace {

std::string LayerTensor(int32_t layer, const std::string& tensor) {
  return absl::StrCat("layer ", layer, ", tensor ", tensor);
}

}  // namespace

PartArrivals::PartArrivals(const PutRequest& request, const PutPlan& put, const SessionLimits& limits)
    : request_(request), put_(put), limits_(limits), selected_(put.plan.groups.size(), false) {
  for (const LayerPlan& planned : put.layers) {
    Layer layer;
    for (const TensorSpec& spec : planned.tensors) {
      const int64_t rows = put.row_range == RangeKind::kTokens ? put.plan.token_count
                           : planned.group >= 0                ? put.row_counts[planned.group]
                                                               : 0;
      layer.tensors.emplace_back(spec.is_per_token() ? rows : spec.size_bytes);
    }
    if (planned.attention_layer >= 0) {
      const ScoreInputBytes& bytes = put.score_bytes[planned.attention_layer];
      layer.queries = PartCoverage(bytes.queries);
      layer.lse = PartCoverage(bytes.lse);
      layer.attention = PartCoverage(bytes.attention);
      layer.token_scores = PartCoverage(bytes.token_scores);
    }
    layers_.push_back(std::move(layer));
    scored_rank_.push_back(static_cast<int32_t>(scored_layers_.size()));
    if (planned.is_scored) scored_layers_.push_back(planned.layer);
  }
}

int32_t PartArrivals::OpenStream() {
  streams_.emplace_back();
  ++open_streams_;
  return static_cast<int32_t>(streams_.size()) - 1;
}

bool PartArrivals::IsOpen(int32_t stream) const {
  return stream >= 0 && stream < static_cast<int32_t>(streams_.size()) && streams_[stream].open;
}

bool PartArrivals::CloseStream(int32_t stream) {
  if (!IsOpen(stream)) return false;
  streams_[stream].open = false;
  --open_streams_;
  return true;
}

bool PartArrivals::HasOtherStreams(int32_t stream) const { return open_streams_ > (IsOpen(stream) ? 1 : 0); }

bool PartArrivals::AllWait() const {
  return open_streams_ > 0 && std::all_of(streams_.begin(), streams_.end(),
                                          [](const Stream& stream) { return !stream.open || stream.waits; });
}

const PartCoverage& PartArrivals::CoverageOf(const PlacedPart& part) const {
  const Layer& layer = layers_[part.layer];
  switch (part.part) {
    case PartTensor::kQueries:
      return layer.queries;
    case PartTensor::kLse:
      return layer.lse;
    case PartTensor::kAttention:
      return layer.attention;
    case PartTensor::kTokenScores:
      return layer.token_scores;
    default:
      return layer.tensors[part.tensor];
  }
}

PartCoverage& PartArrivals::CoverageOf(const PlacedPart& part) {
  return const_cast<PartCoverage&>(std::as_const(*this).CoverageOf(part));
}

int32_t* PartArrivals::CursorOf(Stream& stream, const PlacedPart& part) const {
  if (request_.order != PartOrder::kLayerMajor) return nullptr;
  if (part.kind == PlacedPart::Kind::kRows || part.kind == PlacedPart::Kind::kNamed) return &stream.row_layer;
  if (part.part != PartTensor::kAttention) return nullptr;
  // Rows that wait for the selection come after all attention, from the first layer again.
  return put_.selects_first ? &stream.attention_layer : &stream.row_layer;
}

bool PartArrivals::MustWait(const PlacedPart& part) const {
  switch (part.kind) {
    case PlacedPart::Kind::kNamed:
    case PlacedPart::Kind::kDropped:
      return false;
    case PlacedPart::Kind::kRows:
      return put_.staged_layers > 0 && part.layer >= lowest_unreduced_ + put_.staged_layers;
    case PlacedPart::Kind::kScores:
      return part.part == PartTensor::kAttention && put_.staged_attention > 0 &&
             scored_rank_[part.layer] >= lowest_unscored_rank_ + put_.staged_attention;
  }
  return false;
}

absl::StatusOr<PartArrivals::Decision> PartArrivals::Place(int32_t stream_id, const PartHeader& header) {
  CHUNKKV_CHECK(IsOpen(stream_id));
  Stream& stream = streams_[stream_id];
  Decision decision;
  CHUNKKV_ASSIGN_OR_RETURN(decision.part, Identify(header));
  int32_t* const cursor = CursorOf(stream, decision.part);
  if (cursor != nullptr && header.layer < *cursor) {
    return BadPart("ORDER", header, absl::StrCat("LAYER_MAJOR was declared, and layer ", *cursor, " came before"));
  }
  if (MustWait(decision.part)) {
    stream.waits = true;
    decision.later = true;
    return decision;
  }
  PartCoverage& coverage = CoverageOf(decision.part);
  const int64_t gaps_before = coverage.gap_count();
  switch (coverage.Place(header.begin, header.end)) {
    case RangeSet::Inserted::kYes:
      gap_count_ += coverage.gap_count() - gaps_before;
      if (gap_count_ > kMaxGaps) {
        return BadPart("TOO_MANY_GAPS", header, absl::StrCat("over ", kMaxGaps, " gaps between parts of all tensors"));
      }
      break;
    case RangeSet::Inserted::kOverlaps:
      return BadPart("PARTS_OVERLAP", header,
                     absl::StrCat("something of [", header.begin, ", ", header.end, ") came before"));
    case RangeSet::Inserted::kTooManyRanges:
      return BadPart("TOO_MANY_GAPS", header, absl::StrCat("over ", RangeSet::kMaxRanges, " ranges with gaps between"));
  }
  stream.waits = false;
  if (cursor != nullptr) *cursor = header.layer;
  return decision;
}

void PartArrivals::Finish(const PlacedPart& part) { CoverageOf(part).Finish(part.end - part.begin); }

void PartArrivals::MarkSelected(int32_t group, int64_t rows) {
  selected_[group] = true;
  if (put_.row_range != RangeKind::kKeptRows) return;
  for (const LayerPlan& planned : put_.layers) {
    if (planned.group != group) continue;
    for (PartCoverage& coverage : layers_[planned.layer].tensors) coverage = PartCoverage(rows);
  }
}

void PartArrivals::MarkScored(int32_t layer) {
  layers_[layer].scored = true;
  while (lowest_unscored_rank_ < static_cast<int32_t>(scored_layers_.size()) &&
         layers_[scored_layers_[lowest_unscored_rank_]].scored) {
    ++lowest_unscored_rank_;
  }
}

void PartArrivals::MarkReduced(int32_t layer) {
  layers_[layer].reduced = true;
  while (lowest_unreduced_ < static_cast<int32_t>(layers_.size()) && layers_[lowest_unreduced_].reduced) {
    ++lowest_unreduced_;
  }
}

bool PartArrivals::IsLayerComplete(int32_t layer) const {
  const LayerPlan& planned = put_.layers[layer];
  if (put_.row_range == RangeKind::kKeptRows && planned.group >= 0 && !selected_[planned.group]) return false;
  const std::vector<PartCoverage>& tensors = layers_[layer].tensors;
  return std::all_of(tensors.begin(), tensors.end(), [](const PartCoverage& tensor) { return tensor.IsComplete(); });
}

bool PartArrivals::CanScore(int32_t layer) const {
  const Layer& at = layers_[layer];
  const bool needs_keys = put_.plan.source == ScoreSource::kQueryWindow;
  return at.queries.IsComplete() && at.lse.IsComplete() && at.attention.IsComplete() && at.token_scores.IsComplete() &&
         (!needs_keys || at.tensors[0].IsComplete());
}

bool PartArrivals::IsComplete() const {
  for (const LayerPlan& planned : put_.layers) {
    if (!IsLayerComplete(planned.layer) || (planned.is_scored && !CanScore(planned.layer))) return false;
  }
  return true;
}

absl::Status PartArrivals::MissingOf(int32_t layer) const {
  const LayerPlan& planned = put_.layers[layer];
  const Layer& at = layers_[layer];
  if (put_.is_external && planned.group >= 0 && !selected_[planned.group]) {
    return InvalidArgument("POSITIONS_MISSING", absl::StrCat("positions of group ", planned.group, " never came"));
  }
  const bool untouched = std::all_of(at.tensors.begin(), at.tensors.end(),
                                     [](const PartCoverage& tensor) { return tensor.IsUntouched(); });
  if (planned.is_scored && !CanScore(layer)) {
    for (const PartCoverage* scores : {&at.queries, &at.lse, &at.attention, &at.token_scores}) {
      if (scores->IsComplete()) continue;
      if (untouched && scores->IsUntouched() && !put_.selects_first) break;  // the layer as a whole is missing
      return InvalidArgument(
          scores->IsUntouched() ? "SCORES_MISSING" : "GAP",
          absl::StrCat("layer ", layer, ": what it is scored from is missing from byte ", scores->FirstGap(), " on"));
    }
  }
  if (untouched && !planned.tensors.empty()) {
    return InvalidArgument("LAYER_MISSING", absl::StrCat("layer ", layer, " never came"));
  }
  for (size_t tensor = 0; tensor < planned.tensors.size(); ++tensor) {
    if (at.tensors[tensor].IsComplete()) continue;
    return InvalidArgument("GAP", absl::StrCat(LayerTensor(layer, planned.tensors[tensor].name), " is missing from ",
                                               at.tensors[tensor].FirstGap(), " on, of ", at.tensors[tensor].total()));
  }
  return InvalidArgument("GAP", absl::StrCat("layer ", layer, " is not complete"));
}

absl::Status PartArrivals::Missing() const {
  for (const LayerPlan& planned : put_.layers) {
    if (!IsLayerComplete(planned.layer) || (planned.is_scored && !CanScore(planned.layer))) {
      return MissingOf(planned.layer);
    }
  }
  CHUNKKV_CHECK(false && "everything is there");
  return absl::OkStatus();
}

}  // namespace chunkkv
