#include "service/rpc/channel_sender.h"

#include <algorithm>
#include <utility>

#include "service/base/status_macros.h"
#include "service/rpc/layer_messages.h"
#include "service/rpc/rpc_limits.h"
#include "service/rpc/stream_output.h"
#include "service/rpc/wire_channel.h"

namespace chunkkv::rpc {

static_assert(kMaxPartBytes <= ChannelBuffers::kBytes);

absl::StatusOr<std::unique_ptr<ChannelSender>> ChannelSender::Create(EntryPtr entry, const ServedRange& range,
                                                                     int64_t max_part_bytes, ChannelAccess access,
                                                                     std::shared_ptr<IdleTimer> idle, EntryStore& store,
                                                                     const Compactor& compactor) {
  std::unique_ptr<ChannelSender> sender(
      new ChannelSender(std::move(entry), range, max_part_bytes, std::move(access), std::move(idle), compactor));
  const EntryHeader& header = sender->entry_->header();
  int64_t scratch_bytes = 0;
  for (int32_t layer = range.first_layer; layer < range.first_layer + range.layer_count; ++layer) {
    scratch_bytes = std::max(scratch_bytes, ScratchBytes(header, range.options, layer));
  }
  CHUNKKV_ASSIGN_OR_RETURN(sender->scratch_, store.Reserve(scratch_bytes));
  return sender;
}

absl::StatusOr<MessageSource::State> ChannelSender::Next(std::function<void()> resume, grpc::ByteBuffer* message) {
  while (true) {
    CHUNKKV_ASSIGN_OR_RETURN(const bool is_there, queue_->Take(message));
    if (is_there) return State::kMessage;
    CHUNKKV_ASSIGN_OR_RETURN(const bool has_started, StartNext());
    if (has_started) continue;
    if (next_layer_ == range_.layer_count && queue_->IsDone()) return State::kEnd;
    if (queue_->Sleep(resume)) return State::kLater;
  }
}

absl::StatusOr<bool> ChannelSender::StartNext() {
  if (!cutter_) {
    if (next_layer_ == range_.layer_count) return false;
    CHUNKKV_ASSIGN_OR_RETURN(layer_, ServeLayer(entry_->header(), entry_->body(), range_.first_layer + next_layer_,
                                                range_.options, compactor_));
    cutter_.emplace(*layer_, entry_->header().token_count, max_part_bytes_);
  }
  if (!next_cut_) next_cut_ = cutter_->Next();
  if (!next_cut_) {
    queue_->Fill(queue_->Add(), MakeLayerEnd(*layer_));
    cutter_.reset();
    layer_.reset();
    ++next_layer_;
    return true;
  }
  CHUNKKV_ASSIGN_OR_RETURN(std::optional<ChannelHold> hold,
                           access_.Hold(*idle_, [queue = queue_] { queue->Wake(); }));
  if (!hold) return false;
  CHUNKKV_RETURN_IF_ERROR(Start(*next_cut_, *std::move(hold)));
  next_cut_.reset();
  return true;
}

absl::Status ChannelSender::Start(const PartCutter::Cut& cut, ChannelHold hold) {
  const auto held = std::make_shared<ChannelHold>(std::move(hold));
  CHUNKKV_RETURN_IF_ERROR(access_.buffers->CopyIn(held->buffer, cut.bytes));
  const auto size_bytes = static_cast<int64_t>(cut.bytes.size());
  ChannelTransfer transfer;
  transfer.direction = ChannelTransfer::Direction::kSend;
  transfer.memory = held->buffer.memory();
  transfer.size_bytes = size_bytes;
  transfer.peer_is_ready = true;
  const SendQueue::Number number = queue_->Add();
  transfer.starting = [queue = queue_, number, part = cut.part, id = access_.id(), size_bytes](int64_t sequence) {
    v1::GetCacheResponse response;
    *response.mutable_part() = part;
    ToWire(id, sequence, size_bytes, response.mutable_part()->mutable_payload()->mutable_nccl());
    queue->Fill(number, ToByteBuffer(response));
  };
  queue_->Begin();
  transfer.done = [queue = queue_, held](const absl::Status& status) {
    held->LetGo(status);
    held->pause = IdlePause();
    queue->End(status);
  };
  sent_bytes_ += size_bytes;
  access_.group->Start(access_.channel, std::move(transfer));
  return absl::OkStatus();
}

void ChannelSender::Cancel() {
  access_.group->CancelAll();
  queue_->Wake();
}

}  // namespace chunkkv::rpc
