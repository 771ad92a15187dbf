#include "service/rpc/part_source.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "service/base/status_macros.h"
#include "service/format/digest.h"
#include "service/rpc/layer_messages.h"
#include "service/rpc/part_message.h"
#include "service/rpc/wire_part.h"

namespace chunkkv::rpc {
namespace {

// Layers whose scratch may be in flight at once: one being sent, one being made.
constexpr int64_t kScratchLayers = 2;

// Parts end on rows, and on blocks of the digest too where the rows allow; rows longer than a part are cut anywhere.
int64_t PartBytes(const TensorSpec& spec, int64_t max_part_bytes) {
  const auto block_bytes = static_cast<int64_t>(kDigestBlockBytes);
  const int64_t blocks = max_part_bytes / block_bytes * block_bytes;
  if (!spec.is_per_token() || spec.row_bytes > max_part_bytes) return blocks;
  const int64_t unit = std::lcm(block_bytes, spec.row_bytes);
  if (unit <= max_part_bytes) return max_part_bytes / unit * unit;
  return max_part_bytes / spec.row_bytes * spec.row_bytes;
}

}  // namespace

// A served layer, alive until the last message of it has been sent.
struct PartSource::Layer {
  EntryPtr entry;
  ServedLayer served;
  std::shared_ptr<ScratchPool> pool;
  int64_t scratch_bytes = 0;
  ~Layer() {
    served.scratch.clear();
    if (pool != nullptr) pool->Return(scratch_bytes);
  }
};

absl::StatusOr<std::unique_ptr<PartSource>> PartSource::Create(EntryPtr entry, const ServedRange& range,
                                                               int64_t max_part_bytes, EntryStore& store,
                                                               const Compactor& compactor) {
  std::unique_ptr<PartSource> source(new PartSource(std::move(entry), range, max_part_bytes, compactor));
  const EntryHeader& header = source->entry_->header();
  if (!NeedsRotation(header, range.options)) return source;
  int64_t largest = 0;
  for (int32_t layer = range.first_layer; layer < range.first_layer + range.layer_count; ++layer) {
    largest = std::max(largest, ScratchBytes(header, range.options, layer));
  }
  CHUNKKV_ASSIGN_OR_RETURN(BudgetShare share,
                           store.Reserve(largest * std::min<int64_t>(kScratchLayers, range.layer_count)));
  source->pool_ = std::make_shared<ScratchPool>(std::move(share));
  return source;
}

absl::StatusOr<PartSource::State> PartSource::Next(std::function<void()> resume, grpc::ByteBuffer* message) {
  if (layer_ == nullptr) {
    if (next_layer_ == range_.layer_count) return State::kEnd;
    CHUNKKV_ASSIGN_OR_RETURN(const bool opened, OpenLayer(std::move(resume)));
    if (!opened) return State::kLater;
  }
  const auto& tensors = layer_->served.tensors;
  while (tensor_ < tensors.size() && offset_ == static_cast<int64_t>(tensors[tensor_].bytes.size())) {
    ++tensor_;
    offset_ = 0;
  }
  *message = tensor_ < tensors.size() ? NextPart() : EndLayer();
  return State::kMessage;
}

absl::StatusOr<bool> PartSource::OpenLayer(std::function<void()> resume) {
  const int32_t index = range_.first_layer + next_layer_;
  auto layer = std::make_shared<Layer>();
  layer->entry = entry_;
  if (pool_ != nullptr) {
    const int64_t bytes = ScratchBytes(entry_->header(), range_.options, index);
    if (!pool_->Take(bytes, std::move(resume))) return false;
    layer->pool = pool_;
    layer->scratch_bytes = bytes;
  }
  CHUNKKV_ASSIGN_OR_RETURN(layer->served,
                           ServeLayer(entry_->header(), entry_->body(), index, range_.options, compactor_));
  layer_ = std::move(layer);
  tensor_ = 0;
  offset_ = 0;
  ++next_layer_;
  return true;
}

grpc::ByteBuffer PartSource::NextPart() {
  const ServedTensor& tensor = layer_->served.tensors[tensor_];
  const TensorSpec& spec = tensor.slot->spec;
  const auto tensor_bytes = static_cast<int64_t>(tensor.bytes.size());
  const int64_t count = std::min(PartBytes(spec, max_part_bytes_), tensor_bytes - offset_);
  const absl::Span<const std::byte> bytes = tensor.bytes.subspan(offset_, count);
  v1::Part part;
  SetTensor(spec, &part);
  if (spec.is_per_token() && spec.row_bytes <= max_part_bytes_) {
    const bool all_rows = tensor.slot->row_count == entry_->header().token_count;
    part.set_range(all_rows ? v1::RANGE_KIND_TOKENS : v1::RANGE_KIND_KEPT_ROWS);
    part.set_begin(tensor.first_row + offset_ / spec.row_bytes);
    part.set_end(tensor.first_row + (offset_ + count) / spec.row_bytes);
  } else {
    part.set_range(v1::RANGE_KIND_BYTES);
    part.set_begin(offset_);
    part.set_end(offset_ + count);
  }
  offset_ += count;
  sent_bytes_ += count;
  // gRPC takes memory that it may not write to as void*, too.
  auto* const holder = new std::shared_ptr<const Layer>(layer_);
  grpc::Slice slice(
      const_cast<std::byte*>(bytes.data()), bytes.size(),
      [](void* held) { delete static_cast<std::shared_ptr<const Layer>*>(held); }, holder);
  return MakePartResponse(part, PartChecksum(bytes), std::move(slice));
}

grpc::ByteBuffer PartSource::EndLayer() {
  grpc::ByteBuffer message = MakeLayerEnd(layer_->served);
  layer_ = nullptr;
  return message;
}

}  // namespace chunkkv::rpc
