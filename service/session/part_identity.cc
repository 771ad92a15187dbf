// What a part is: its header held against the layout, the score source and what has been selected.
#include <optional>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/session/part_arrivals.h"
#include "service/session/put_session.h"

namespace chunkkv {
namespace {

const char* PartTensorName(PartTensor tensor) {
  switch (tensor) {
    case PartTensor::kKeys:
      return "keys";
    case PartTensor::kValues:
      return "values";
    case PartTensor::kKeyScales:
      return "key scales";
    case PartTensor::kValueScales:
      return "value scales";
    case PartTensor::kNamed:
      return "named";
    case PartTensor::kQueries:
      return "queries";
    case PartTensor::kLse:
      return "lse";
    case PartTensor::kAttention:
      return "attention";
    case PartTensor::kTokenScores:
      return "token scores";
  }
  return "unknown";
}

std::optional<TensorKind> KindOf(PartTensor tensor) {
  switch (tensor) {
    case PartTensor::kKeys:
      return TensorKind::kKeys;
    case PartTensor::kValues:
      return TensorKind::kValues;
    case PartTensor::kKeyScales:
      return TensorKind::kKeyScales;
    case PartTensor::kValueScales:
      return TensorKind::kValueScales;
    case PartTensor::kNamed:
      return TensorKind::kNamed;
    default:
      return std::nullopt;
  }
}

}  // namespace

std::string NameOf(const PartHeader& header) {
  // A name is shown only once it is known to be one of the layout's.
  return absl::StrCat("layer ", header.layer, ", tensor ", PartTensorName(header.tensor));
}

absl::Status BadPart(const char* reason, const PartHeader& header, const std::string& what) {
  return InvalidArgument(reason, absl::StrCat("part of ", NameOf(header), ": ", what));
}

absl::Status PartArrivals::CheckRange(const PartHeader& header, int64_t total, int64_t unit_bytes) const {
  if (header.begin < 0 || header.begin > header.end) {
    return BadPart("BAD_RANGE", header, absl::StrCat("range [", header.begin, ", ", header.end, ")"));
  }
  if (header.begin == header.end) return BadPart("EMPTY_PART", header, "its range is empty");
  if (header.end > total) {
    return BadPart("BAD_RANGE", header, absl::StrCat("range ends at ", header.end, ", the tensor at ", total));
  }
  if (header.in_region) return absl::OkStatus();
  // The tensor's size is known not to overflow, so no part of it does.
  const int64_t bytes = (header.end - header.begin) * unit_bytes;
  if (header.payload_bytes != bytes) {
    return BadPart("PART_SIZE", header, absl::StrCat(header.payload_bytes, " bytes for a range of ", bytes));
  }
  if (bytes > limits_.max_part_bytes) {
    return BadPart("PART_TOO_LARGE", header, absl::StrCat(bytes, " bytes; at most ", limits_.max_part_bytes));
  }
  return absl::OkStatus();
}

absl::StatusOr<PlacedPart> PartArrivals::Identify(const PartHeader& header) const {
  if (header.layer < 0 || header.layer >= static_cast<int32_t>(put_.layers.size())) {
    return BadPart("BAD_LAYER", header, absl::StrCat("the layout has ", put_.layers.size(), " layers"));
  }
  const LayerPlan& planned = put_.layers[header.layer];
  const Layer& layer = layers_[header.layer];
  PlacedPart part;
  part.layer = header.layer;
  part.part = header.tensor;
  part.begin = header.begin;
  part.end = header.end;

  const std::optional<TensorKind> kind = KindOf(header.tensor);
  if (kind.has_value()) {
    size_t tensor = 0;
    while (tensor < planned.tensors.size() &&
           (planned.tensors[tensor].kind != *kind ||
            (kind == TensorKind::kNamed && planned.tensors[tensor].name != header.name))) {
      ++tensor;
    }
    if (tensor == planned.tensors.size()) return BadPart("BAD_TENSOR", header, "the layout has no such tensor");
    part.tensor = tensor;
    const TensorSpec& spec = planned.tensors[tensor];
    part.kind = spec.is_per_token() ? PlacedPart::Kind::kRows : PlacedPart::Kind::kNamed;
    const RangeKind range = spec.is_per_token() ? put_.row_range : RangeKind::kBytes;
    if (header.range != range) {
      return BadPart("RANGE_KIND", header,
                     range == RangeKind::kTokens     ? "its range must be of TOKENS"
                     : range == RangeKind::kKeptRows ? "its range must be of KEPT_ROWS"
                                                     : "its range must be of BYTES");
    }
    if (range == RangeKind::kKeptRows && !selected_[planned.group]) {
      return put_.is_external ? BadPart("POSITIONS_MISSING", header,
                                        absl::StrCat("positions of group ", planned.group, " must come first"))
                              : FailedPrecondition("NOT_SELECTED", absl::StrCat("part of ", NameOf(header), ": group ",
                                                                                planned.group, " is not selected yet"));
    }
    CHUNKKV_RETURN_IF_ERROR(
        CheckRange(header, layer.tensors[tensor].total(), spec.is_per_token() ? spec.row_bytes : 1));
    return part;
  }

  if (planned.attention_layer < 0) return BadPart("BAD_TENSOR", header, "a VERBATIM layer has no scores");
  part.kind = planned.is_scored ? PlacedPart::Kind::kScores : PlacedPart::Kind::kDropped;
  if (header.range != RangeKind::kBytes) return BadPart("RANGE_KIND", header, "its range must be of BYTES");
  const ScoreSource source = request_.score_source;
  const bool declared = (header.tensor == PartTensor::kQueries && source == ScoreSource::kQueryWindow) ||
                        (header.tensor == PartTensor::kLse && request_.has_lse) ||
                        (header.tensor == PartTensor::kAttention && source == ScoreSource::kAttention) ||
                        (header.tensor == PartTensor::kTokenScores && source == ScoreSource::kTokenScores);
  if (!declared) return BadPart("BAD_TENSOR", header, "the score source declared does not have it");
  if (planned.is_scored && selected_[planned.group]) {
    return BadPart("AFTER_SELECTION", header, absl::StrCat("group ", planned.group, " has been selected"));
  }
  CHUNKKV_RETURN_IF_ERROR(CheckRange(header, CoverageOf(part).total(), 1));
  return part;
}

}  // namespace chunkkv
