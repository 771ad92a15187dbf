#include "service/rpc/region_writer.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/rpc/layer_messages.h"
#include "service/rpc/stream_output.h"
#include "service/rpc/wire_part.h"
#include "service/transfer/served_layer.h"

namespace chunkkv::rpc {
namespace {

using TensorName = std::tuple<int32_t, TensorKind, std::string>;

TensorName NameOf(int32_t layer, const TensorSpec& spec) {
  return {layer, spec.kind, spec.kind == TensorKind::kNamed ? spec.name : std::string()};
}

constexpr int64_t kAlignment = 64;
// No region is larger, so that offsets add up.
constexpr int64_t kMostBytes = int64_t{1} << 60;

int64_t RowsServed(const TensorSlot& slot, const ServedRange& range) {
  return range.options.token_count >= 0 ? range.options.token_count : slot.row_count;
}

std::string Label(const TensorName& name) {
  return absl::StrCat("target: layer ", std::get<0>(name), ", tensor ", static_cast<int>(std::get<1>(name)));
}

absl::Status TooSmall(const TensorName& name, int64_t size_bytes) {
  return FailedPrecondition("TARGET_TOO_SMALL", absl::StrCat(Label(name), " needs ", size_bytes, " bytes"));
}

// How many rows the pages have room for.
int64_t Capacity(const RegionSlice::Pages& pages) {
  return static_cast<int64_t>(pages.block_ids.size()) * std::max(0, pages.block_size) - std::max(0, pages.first_slot);
}

absl::StatusOr<RegionPart> PlaceOf(RegionAccess access, RegionSlice slice, const TensorName& name,
                                   const TensorSlot& slot, int64_t row_count) {
  const TensorSpec& spec = slot.spec;
  const int64_t size_bytes = spec.is_per_token() ? row_count * spec.row_bytes : slot.size_bytes;
  if (slice.pages ? Capacity(*slice.pages) < row_count : slice.length_bytes < size_bytes) {
    return TooSmall(name, size_bytes);
  }
  slice.length_bytes = size_bytes;
  if (!spec.is_per_token()) return RegionPart::OfBytes(std::move(access), slice, size_bytes);
  return RegionPart::OfRows(std::move(access), slice, {row_count, spec.head_count, spec.head_bytes(), false});
}

}  // namespace

absl::StatusOr<std::vector<TargetSlice>> LayOutTarget(const EntryHeader& header, const ServedRange& range,
                                                      const TargetSlice& whole) {
  const int64_t begin = whole.slice.offset_bytes;
  if (begin > kMostBytes || whole.slice.length_bytes < 0 || whole.slice.length_bytes > kMostBytes) {
    return InvalidArgument("SLICE_OUT_OF_BOUNDS", "target.whole: outside of any region");
  }
  std::vector<TargetSlice> slices;
  int64_t end = begin;
  for (int32_t layer = range.first_layer; layer < range.first_layer + range.layer_count; ++layer) {
    for (const TensorSpec& spec : LayerTensors(header.layout, layer)) {
      const TensorSlot& slot = *header.FindTensor(layer, spec.kind, spec.name);
      TargetSlice& slice = slices.emplace_back(whole);
      slice.layer = layer;
      slice.tensor = spec.kind;
      slice.name = spec.kind == TensorKind::kNamed ? spec.name : std::string();
      slice.slice.offset_bytes = (end + kAlignment - 1) / kAlignment * kAlignment;
      slice.slice.length_bytes = spec.is_per_token() ? RowsServed(slot, range) * spec.row_bytes : slot.size_bytes;
      end = slice.slice.offset_bytes + slice.slice.length_bytes;
    }
  }
  if (end - begin <= whole.slice.length_bytes) return slices;
  return FailedPrecondition("TARGET_TOO_SMALL", absl::StrCat("target.whole: needs ", end - begin, " bytes"));
}

void ToWire(const TargetSlice& slice, v1::TensorPlace* place) {
  place->set_layer(slice.layer);
  place->set_tensor(ToWire(slice.tensor));
  place->set_name(slice.name);
  place->set_offset_bytes(slice.slice.offset_bytes);
  place->set_size_bytes(slice.slice.length_bytes);
}

absl::StatusOr<std::unique_ptr<RegionWriter>> RegionWriter::Create(EntryPtr entry, const ServedRange& range,
                                                                   const std::vector<TargetSlice>& target,
                                                                   const TransferPtr& transfer,
                                                                   const RegionTable& regions, EntryStore& store,
                                                                   const Compactor& compactor, Executor& executor) {
  const EntryHeader& header = entry->header();
  std::map<TensorName, const TargetSlice*> slices;
  for (const TargetSlice& slice : target) {
    const TensorName name = {slice.layer, slice.tensor, slice.name};
    if (!slices.emplace(name, &slice).second) {
      return InvalidArgument("TARGET_REPEATED", absl::StrCat(Label(name), " comes twice"));
    }
  }
  std::unique_ptr<RegionWriter> writer(new RegionWriter(std::move(entry), range, compactor, executor));
  int64_t scratch_bytes = 0;
  for (int32_t layer = range.first_layer; layer < range.first_layer + range.layer_count; ++layer) {
    std::vector<RegionPart>& places = writer->places_.emplace_back();
    scratch_bytes = std::max(scratch_bytes, ScratchBytes(header, range.options, layer));
    for (const TensorSpec& spec : LayerTensors(header.layout, layer)) {
      const TensorName name = NameOf(layer, spec);
      const auto found = slices.find(name);
      if (found == slices.end()) return InvalidArgument("TARGET_MISSING", absl::StrCat(Label(name), " has no place"));
      CHUNKKV_ASSIGN_OR_RETURN(RegionPtr region, regions.Find(transfer->tenant(), found->second->region_id));
      if (!region->memory->is_writable()) {
        return FailedPrecondition("REGION_READ_ONLY", absl::StrCat(Label(name), ": the region cannot be written to"));
      }
      const TensorSlot& slot = *header.FindTensor(layer, spec.kind, spec.name);
      const int64_t row_count = spec.is_per_token() ? RowsServed(slot, range) : 0;
      CHUNKKV_ASSIGN_OR_RETURN(RegionPart place,
                               PlaceOf({std::move(region), transfer}, found->second->slice, name, slot, row_count));
      places.push_back(std::move(place));
      slices.erase(found);
    }
  }
  if (!slices.empty()) {
    return InvalidArgument("TARGET_UNKNOWN", absl::StrCat(Label(slices.begin()->first), " is not served"));
  }
  CHUNKKV_ASSIGN_OR_RETURN(writer->scratch_, store.Reserve(scratch_bytes));
  return writer;
}

absl::Status RegionWriter::WriteLayer(const ServedLayer& layer) {
  const std::vector<RegionPart>& places = places_[next_layer_];
  std::vector<absl::Status> statuses(places.size());
  executor_.RunParallel(places.size(), [&](size_t i) {
    const ServedTensor& tensor = layer.tensors[i];
    statuses[i] = tensor.slot->spec.is_per_token() ? places[i].WriteRows(tensor.bytes, range_.options.cancelled)
                                                   : places[i].WriteBytes(tensor.bytes, range_.options.cancelled);
  });
  for (const absl::Status& status : statuses) CHUNKKV_RETURN_IF_ERROR(status);
  for (const ServedTensor& tensor : layer.tensors) written_bytes_ += static_cast<int64_t>(tensor.bytes.size());
  return absl::OkStatus();
}

absl::StatusOr<MessageSource::State> RegionWriter::Next(std::function<void()>, grpc::ByteBuffer* message) {
  if (has_layer_end_) {
    *message = std::move(layer_end_);
    has_layer_end_ = false;
    return State::kMessage;
  }
  if (next_layer_ == range_.layer_count) return State::kEnd;
  CHUNKKV_ASSIGN_OR_RETURN(
      const ServedLayer layer,
      ServeLayer(entry_->header(), entry_->body(), range_.first_layer + next_layer_, range_.options, compactor_));
  CHUNKKV_RETURN_IF_ERROR(WriteLayer(layer));
  v1::GetCacheResponse written;
  written.mutable_written()->set_layer(layer.layer);
  *message = ToByteBuffer(written);
  layer_end_ = MakeLayerEnd(layer);
  has_layer_end_ = true;
  ++next_layer_;
  return State::kMessage;
}

}  // namespace chunkkv::rpc
