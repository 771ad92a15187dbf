#include "client/cpp/entry_receiver.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "client/cpp/convert.h"
#include "client/cpp/expected_entry.h"
#include "client/cpp/part_codec.h"
#include "client/cpp/receive_buffer.h"
#include "service/base/status_macros.h"
#include "service/format/digest.h"

namespace chunkkv::client {
namespace {

constexpr int64_t kTensorAlignment = 64;

absl::Status DataLoss(const char* reason, const std::string& text) {
  return ErrorStatus(absl::StatusCode::kDataLoss, reason, text);
}

// Whether a message of the tensor's layer is of this tensor.
template <typename Message>
bool IsOf(const Message& wire, const TensorSpec& spec) {
  return static_cast<int>(spec.kind) == wire.tensor() && (spec.is_per_token() || spec.name == wire.name());
}

int64_t RoundUp(int64_t bytes) { return (bytes + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment; }

}  // namespace

absl::Status EntryReceiver::Open(const v1::GetHeader& proto, int32_t begin, int32_t end) {
  CHUNKKV_RETURN_IF_ERROR(ExpectedEntry(request_).Check(proto));
  CHUNKKV_ASSIGN_OR_RETURN(entry_.header, FromProto(proto));
  const EntryHeader& header = entry_.header;
  if ((request_.position_mode == PositionMode::kContiguous) !=
      (proto.position_mode() == v1::POSITION_MODE_CONTIGUOUS)) {
    return BadReply("another position mode than asked");
  }
  begin_ = begin;
  end_ = std::min(end, LayerCount(header.layout));
  if (begin_ < 0 || begin_ > end_) return BadReply("the range of layers is not in the layout");
  entry_.first_layer = begin_;
  entry_.first_token = proto.first_token();
  entry_.served_tokens = proto.served_tokens();
  if (request_.tokens) {
    const bool is_asked = entry_.first_token == request_.tokens->first &&
                          entry_.served_tokens == request_.tokens->second - request_.tokens->first &&
                          entry_.first_token >= 0 && entry_.served_tokens <= header.token_count;
    if (!is_asked) return BadReply("another token range than asked");
  } else if (entry_.first_token != 0 || (entry_.served_tokens != 0 && entry_.served_tokens != header.token_count)) {
    return BadReply("a token range that was not asked for");
  }
  if (request_.on_header) CHUNKKV_RETURN_IF_ERROR(request_.on_header(header));
  return PlaceTensors(proto);
}

void EntryReceiver::PlaceIn(absl::Span<std::byte> memory, std::shared_ptr<void> owner, bool is_on_host) {
  memory_ = memory;
  has_memory_ = true;
  is_on_host_ = is_on_host;
  entry_.memory = std::move(owner);
}

absl::Status EntryReceiver::CheckSame(const v1::GetHeader& proto) const {
  return proto.entry_id() == ToString(entry_.header.entry_id) &&
                 proto.entry_digest() == ToString(entry_.header.entry_digest)
             ? absl::OkStatus()
             : BadReply("streams of one get bring different entries");
}

absl::Status EntryReceiver::PlaceTensors(const v1::GetHeader& proto) {
  const EntryHeader& header = entry_.header;
  layers_.resize(end_ - begin_);
  int64_t total_bytes = 0;
  for (int32_t layer = begin_; layer < end_; ++layer) {
    const int32_t index = AttentionIndex(header.layout, layer);
    for (const TensorSpec& spec : LayerTensors(header.layout, layer)) {
      const TensorSlot* slot = header.FindTensor(layer, spec.kind, spec.name);
      if (slot == nullptr) return BadReply(absl::StrCat("a tensor of layer ", layer, " has no place"));
      Tensor tensor;
      tensor.spec = spec;
      tensor.committed_digest = slot->digest;
      tensor.row_count = slot->row_count;
      tensor.size_bytes = slot->size_bytes;
      if (spec.is_per_token() && request_.tokens) {
        tensor.row_count = entry_.served_tokens;
        tensor.size_bytes = entry_.served_tokens * spec.row_bytes;
        tensor.is_derived = entry_.served_tokens != slot->row_count;
      }
      tensor.is_derived |= index >= 0 && spec.kind == TensorKind::kKeys && header.keys_contiguous;
      total_bytes += RoundUp(tensor.size_bytes);
      if (total_bytes > request_.max_entry_bytes) {
        return ErrorStatus(absl::StatusCode::kResourceExhausted, "ENTRY_TOO_LARGE",
                           absl::StrCat("the entry needs more than max_entry_bytes ", request_.max_entry_bytes));
      }
      layers_[layer - begin_].tensors.push_back(std::move(tensor));
    }
  }
  if (has_memory_) {
    const auto& places = proto.has_mapping() ? proto.mapping().tensors() : proto.places();
    for (Layer& layer : layers_) {
      for (Tensor& tensor : layer.tensors) CHUNKKV_RETURN_IF_ERROR(PlaceTensor(places, tensor));
    }
    return absl::OkStatus();
  }
  std::byte* next = nullptr;
  if (!request_.placement) {
    entry_.memory = AllocateReceiveBuffer(static_cast<size_t>(total_bytes));
    next = static_cast<std::byte*>(entry_.memory.get());
    if (next == nullptr) {
      return ErrorStatus(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                         absl::StrCat("no memory for an entry of ", total_bytes, " bytes"));
    }
  }
  for (Layer& layer : layers_) {
    for (Tensor& tensor : layer.tensors) {
      if (request_.placement) {
        tensor.data = request_.placement(tensor.spec, tensor.row_count, tensor.size_bytes);
        if (tensor.data == nullptr && tensor.size_bytes > 0) {
          return ErrorStatus(
              absl::StatusCode::kResourceExhausted, "NO_PLACE",
              absl::StrCat("no place was given for tensor ", tensor.spec.name, " of layer ", tensor.spec.layer));
        }
      } else {
        tensor.data = next;
        next += RoundUp(tensor.size_bytes);
      }
    }
  }
  return absl::OkStatus();
}

absl::Status EntryReceiver::PlaceTensor(const google::protobuf::RepeatedPtrField<v1::TensorPlace>& places,
                                        Tensor& tensor) const {
  const auto place = std::find_if(places.begin(), places.end(), [&](const v1::TensorPlace& one) {
    return one.layer() == tensor.spec.layer && IsOf(one, tensor.spec);
  });
  const auto size = static_cast<int64_t>(memory_.size());
  if (place == places.end() || place->size_bytes() != tensor.size_bytes || place->offset_bytes() < 0 ||
      place->offset_bytes() > size - tensor.size_bytes) {
    return BadReply(absl::StrCat("no place for tensor ", tensor.spec.name, " of layer ", tensor.spec.layer));
  }
  tensor.data = memory_.data() + place->offset_bytes();
  return absl::OkStatus();
}

absl::Status EntryReceiver::TakeWritten(int32_t number, const LayerRange& layers) {
  Layer* layer = FindLayer(number, layers);
  if (layer == nullptr || layer->has_ended || !has_memory_) return BadReply(absl::StrCat("layer ", number, " written"));
  for (Tensor& tensor : layer->tensors) tensor.received_bytes = tensor.size_bytes;
  return absl::OkStatus();
}

absl::Status EntryReceiver::TakeMapped(bool verify) {
  for (Layer& layer : layers_) {
    LayerView view{begin_ + static_cast<int32_t>(&layer - layers_.data()), {}};
    for (const Tensor& tensor : layer.tensors) {
      const absl::Span<const std::byte> bytes(tensor.data, static_cast<size_t>(tensor.size_bytes));
      if (verify && DigestTensor(bytes) != tensor.committed_digest) {
        return DataLoss("DIGEST_MISMATCH", absl::StrCat("tensor ", tensor.spec.name, " of layer ", view.layer,
                                                        " is not what was committed"));
      }
      view.tensors.push_back({tensor.spec, tensor.row_count, bytes});
    }
    layer.has_ended = true;
    CHUNKKV_RETURN_IF_ERROR(HandOver(std::move(view)));
  }
  return absl::OkStatus();
}

absl::Status EntryReceiver::HandOver(LayerView view) {
  MutexLock lock(hand_over_mutex_);
  if (request_.on_layer) CHUNKKV_RETURN_IF_ERROR(request_.on_layer(view));
  entry_.layers.push_back(std::move(view));
  return absl::OkStatus();
}

EntryReceiver::Layer* EntryReceiver::FindLayer(int32_t layer, const LayerRange& layers) {
  const bool is_wanted = layer >= std::max(begin_, layers.begin) && layer < std::min(end_, layers.end);
  return is_wanted ? &layers_[layer - begin_] : nullptr;
}

absl::Status EntryReceiver::TakePart(const std::vector<grpc::Slice>& slices, const LayerRange& layers) {
  std::optional<ReceivedPart> received = DecodePartHead(slices);
  std::string unusual;  // holds the bytes of a part that does not come last in its message
  if (!received) {
    v1::GetCacheResponse message;
    if (!FromSlices(slices, &message) || !message.has_part()) return BadReply("a message of a get cannot be parsed");
    unusual = std::move(*message.mutable_part()->mutable_payload()->mutable_inline_());
    received.emplace();
    received->part = std::move(*message.mutable_part());
    received->payload_bytes = unusual.size();
  }
  const v1::Part& part = received->part;
  Layer* layer = FindLayer(part.layer(), layers);
  if (layer == nullptr || layer->has_ended) return BadReply(absl::StrCat("a part of layer ", part.layer()));
  const auto tensor = std::find_if(layer->tensors.begin(), layer->tensors.end(),
                                   [&](const Tensor& one) { return IsOf(part, one.spec); });
  if (tensor == layer->tensors.end())
    return BadReply(absl::StrCat("a part of an unknown tensor of layer ", part.layer()));
  const int64_t unit = part.range() == v1::RANGE_KIND_BYTES ? 1 : tensor->spec.row_bytes;
  const int64_t origin = part.range() == v1::RANGE_KIND_TOKENS ? entry_.first_token : 0;
  const int64_t limit = unit == 0 ? 0 : tensor->size_bytes / unit;
  const int64_t begin = part.begin() - origin;
  const int64_t end = part.end() - origin;
  // Parts of a tensor come in order, so that none can be missing or come twice.
  const bool fits = begin >= 0 && begin < end && end <= limit && begin * unit == tensor->received_bytes &&
                    static_cast<int64_t>(received->payload_bytes) == (end - begin) * unit;
  if (!fits) {
    return BadReply(absl::StrCat("rows ", part.begin(), " to ", part.end(), " of tensor ", tensor->spec.name,
                                 " of layer ", part.layer(), " in ", received->payload_bytes, " bytes"));
  }
  const absl::Span<std::byte> place(tensor->data + begin * unit, received->payload_bytes);
  uint64_t checksum = 0;
  if (unusual.empty()) {
    checksum = CopyPayload(slices, received->payload_offset, place);
  } else {
    std::memcpy(place.data(), unusual.data(), unusual.size());
    checksum = PartChecksum(place);
  }
  if (checksum != part.payload().checksum()) {
    return DataLoss("PART_CHECKSUM", absl::StrCat("a part of tensor ", tensor->spec.name, " of layer ", part.layer(),
                                                  " arrived damaged"));
  }
  tensor->received_bytes += static_cast<int64_t>(received->payload_bytes);
  return absl::OkStatus();
}

absl::Status EntryReceiver::EndLayer(const v1::LayerEnd& end, const LayerRange& layers) {
  Layer* layer = FindLayer(end.layer(), layers);
  if (layer == nullptr || layer->has_ended) return BadReply(absl::StrCat("the end of layer ", end.layer()));
  LayerView view{end.layer(), {}};
  for (const Tensor& tensor : layer->tensors) {
    const std::string where = absl::StrCat("tensor ", tensor.spec.name, " of layer ", end.layer());
    if (tensor.received_bytes != tensor.size_bytes) return DataLoss("INCOMPLETE", where + " has not wholly arrived");
    const absl::Span<const std::byte> bytes(tensor.data, static_cast<size_t>(tensor.size_bytes));
    const auto served = std::find_if(end.digests().begin(), end.digests().end(),
                                     [&](const v1::TensorDigest& one) { return IsOf(one, tensor.spec); });
    if (tensor.is_derived && served == end.digests().end()) return DataLoss("DIGEST_MISSING", where + " has no digest");
    const Bytes16 expected = tensor.is_derived ? ToFixed<16>(served->digest()) : tensor.committed_digest;
    if (is_on_host_ && DigestTensor(bytes) != expected) return DataLoss("DIGEST_MISMATCH", where + " is not what was committed");
    view.tensors.push_back({tensor.spec, tensor.row_count, bytes});
  }
  layer->has_ended = true;
  return HandOver(std::move(view));
}

absl::StatusOr<CachedEntry> EntryReceiver::Finish() {
  for (size_t index = 0; index < layers_.size(); ++index) {
    if (!layers_[index].has_ended) {
      return DataLoss("INCOMPLETE", absl::StrCat("layer ", begin_ + static_cast<int32_t>(index), " has not arrived"));
    }
  }
  std::sort(entry_.layers.begin(), entry_.layers.end(),
            [](const LayerView& one, const LayerView& other) { return one.layer < other.layer; });
  return std::move(entry_);
}

const TensorView* CachedEntry::Find(int32_t layer, std::string_view name) const {
  if (layer < first_layer || layer >= first_layer + static_cast<int32_t>(layers.size())) return nullptr;
  for (const TensorView& tensor : layers[layer - first_layer].tensors) {
    if (tensor.spec.name == name) return &tensor;
  }
  return nullptr;
}

std::vector<int32_t> CachedEntry::PositionsOf(int32_t layer) const {
  const int32_t index = AttentionIndex(header.layout, layer);
  for (size_t group = 0; index >= 0 && group < header.groups.size(); ++group) {
    const ReuseGroup& reuse = header.groups[group];
    if (index < reuse.first_layer || index >= reuse.first_layer + reuse.layer_count) continue;
    if (!header.positions[group].empty()) return header.positions[group];
    std::vector<int32_t> everything(served_tokens > 0 ? served_tokens : header.row_counts[group]);
    std::iota(everything.begin(), everything.end(), static_cast<int32_t>(first_token));
    return everything;
  }
  return {};
}

}  // namespace chunkkv::client
