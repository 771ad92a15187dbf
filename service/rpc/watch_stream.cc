#include "service/rpc/watch_stream.h"

#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/rpc/decode_request.h"
#include "service/rpc/wire_entry.h"

namespace chunkkv::rpc {
namespace {

constexpr size_t kEventsAtOnce = 64;

v1::WatchCachesResponse::RemovalReason ToWire(RemovalReason reason) {
  switch (reason) {
    case RemovalReason::kDeleted:
      return v1::WatchCachesResponse::DELETED;
    case RemovalReason::kEvicted:
      return v1::WatchCachesResponse::EVICTED;
    case RemovalReason::kExpired:
      return v1::WatchCachesResponse::EXPIRED;
    case RemovalReason::kDamaged:
      return v1::WatchCachesResponse::DAMAGED;
    case RemovalReason::kLost:
      return v1::WatchCachesResponse::LOST;
  }
  return v1::WatchCachesResponse::REMOVAL_REASON_UNSPECIFIED;
}

v1::WatchCachesResponse::Event ToWire(StoreEvent::Kind kind) {
  switch (kind) {
    case StoreEvent::Kind::kStored:
      return v1::WatchCachesResponse::STORED;
    case StoreEvent::Kind::kRemoved:
      return v1::WatchCachesResponse::REMOVED;
    case StoreEvent::Kind::kMoved:
      return v1::WatchCachesResponse::MOVED;
  }
  return v1::WatchCachesResponse::EVENT_UNSPECIFIED;
}

}  // namespace

WatchStream::~WatchStream() {
  if (watcher_ != 0) context().store.RemoveWatcher(watcher_);
}

absl::Status WatchStream::Begin(const grpc::ByteBuffer& request) {
  v1::WatchCachesRequest wire;
  CHUNKKV_RETURN_IF_ERROR(DecodeRequest(request, &wire));
  if (wire.after_sequence() < 0) return InvalidArgument("BAD_SEQUENCE", "after_sequence is negative");
  sequence_ = wire.after_sequence();
  watcher_ = context().store.AddWatcher(Wake());
  if (sequence_ == 0) TakeSnapshot();
  return absl::OkStatus();
}

void WatchStream::SendSome() {
  while (HasRoom()) {
    if (in_snapshot_) {
      SendOfSnapshot();
    } else if (!SendEvents()) {
      return;
    }
  }
}

void WatchStream::TakeSnapshot() {
  snapshot_ = context().store.Snapshot(tenant(), &sequence_);
  snapshot_sent_ = 0;
  in_snapshot_ = true;
  SendEvent(v1::WatchCachesResponse::SNAPSHOT_BEGIN, nullptr);
}

void WatchStream::SendOfSnapshot() {
  if (snapshot_sent_ < snapshot_.size()) {
    const PlacedEntry entry = std::exchange(snapshot_[snapshot_sent_++], {});
    SendEvent(v1::WatchCachesResponse::SNAPSHOT_ENTRY, &entry);
    return;
  }
  SendEvent(v1::WatchCachesResponse::SNAPSHOT_END, nullptr);
  snapshot_.clear();
  in_snapshot_ = false;
}

bool WatchStream::SendEvents() {
  bool gap = false;
  int64_t last_sequence = sequence_;
  const bool is_first = !sent_any_;
  const std::vector<StoreEvent> events =
      context().store.EventsAfter(tenant(), sequence_, kEventsAtOnce, &last_sequence, &gap);
  if (gap && is_first) {
    TakeSnapshot();
    return true;
  }
  if (gap) {
    End(ErrorStatus(absl::StatusCode::kResourceExhausted, "SLOW_WATCHER", "events are no longer kept for so long"));
    return false;
  }
  for (const StoreEvent& event : events) {
    v1::WatchCachesResponse response;
    response.set_sequence(event.sequence);
    response.set_event(ToWire(event.kind));
    if (event.kind == StoreEvent::Kind::kRemoved) response.set_removal_reason(ToWire(event.reason));
    rpc::ToWire(PlacedEntry{event.entry, event.tier}, /*with_positions=*/false, response.mutable_entry());
    sent_any_ = true;
    Send(response);
    sequence_ = event.sequence;
  }
  return !events.empty();
}

void WatchStream::SendEvent(v1::WatchCachesResponse::Event event, const PlacedEntry* entry) {
  v1::WatchCachesResponse response;
  response.set_sequence(sequence_);
  response.set_event(event);
  if (entry != nullptr) rpc::ToWire(*entry, /*with_positions=*/false, response.mutable_entry());
  sent_any_ = true;
  Send(response);
}

}  // namespace chunkkv::rpc
