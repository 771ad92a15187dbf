#ifndef CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_TRANSFER_H_
#define CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_TRANSFER_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"

namespace chunkkv {

// Names a transfer on its channel, from the time it is asked for.
using ChannelTransferId = uint64_t;

// One message from or to the peer.
struct ChannelTransfer {
  enum class Direction { kSend, kReceive };

  Direction direction = Direction::kReceive;
  // Of the channel's device; NCCL touches it from `starting` on, and never after `done`, but for DEVICE_STUCK.
  void* memory = nullptr;
  int64_t size_bytes = 0;  // at least 1; the peer's call must have the same
  // By the monotonic clock. In flight the channel's own limit holds beside it.
  int64_t deadline_ms = INT64_MAX;
  // Whether the peer has its data, or the place for it, and will take part as soon as it is told. Until then nothing is
  // asked of the device: an operation that waits for its peer occupies its SMs.
  bool peer_is_ready = false;

  // Both run on the issuing thread (of a device that has finished, in the thread that asks), without locks, and must be
  // short.

  // The transfer is this channel's `sequence`th, from 0, and starts now: the peer is to be told. May be empty.
  std::function<void(int64_t sequence)> starting;
  // Exactly once, also where `starting` never ran. OK: the bytes have come; of a send, its memory may be used again, and
  // what the peer has the peer alone knows. Errors: CANCELLED TRANSFER_CANCELLED; DEADLINE_EXCEEDED (TRANSFER_TIMEOUT,
  // CHANNEL_TIMEOUT); UNAVAILABLE (PEER_LOST, CHANNEL_CLOSED); INTERNAL (NCCL_ERROR, CUDA_ERROR, DEVICE_STUCK).
  std::function<void(const absl::Status& status)> done;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_TRANSFER_H_
