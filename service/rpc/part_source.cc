#include "service/rpc/part_source.h"

#include <algorithm>
#include <utility>

#include "service/base/status_macros.h"
#include "service/format/digest.h"
#include "service/rpc/layer_messages.h"
#include "service/rpc/part_message.h"

namespace chunkkv::rpc {
namespace {

// Layers whose scratch may be in flight at once: one being sent, one being made.
constexpr int64_t kScratchLayers = 2;

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
  std::optional<PartCutter::Cut> cut = cutter_->Next();
  *message = cut ? MakePart(*cut) : EndLayer();
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
  cutter_.emplace(layer_->served, entry_->header().token_count, max_part_bytes_);
  ++next_layer_;
  return true;
}

grpc::ByteBuffer PartSource::MakePart(const PartCutter::Cut& cut) {
  sent_bytes_ += static_cast<int64_t>(cut.bytes.size());
  // gRPC takes memory that it may not write to as void*, too.
  auto* const holder = new std::shared_ptr<const Layer>(layer_);
  grpc::Slice slice(
      const_cast<std::byte*>(cut.bytes.data()), cut.bytes.size(),
      [](void* held) { delete static_cast<std::shared_ptr<const Layer>*>(held); }, holder);
  return MakePartResponse(cut.part, PartChecksum(cut.bytes), std::move(slice));
}

grpc::ByteBuffer PartSource::EndLayer() {
  grpc::ByteBuffer message = MakeLayerEnd(layer_->served);
  cutter_.reset();
  layer_ = nullptr;
  return message;
}

}  // namespace chunkkv::rpc
