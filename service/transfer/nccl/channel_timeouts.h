#ifndef CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_TIMEOUTS_H_
#define CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_TIMEOUTS_H_

#include <cstdint>

namespace chunkkv {

// NCCL waits for ever: these end it. A dead peer is noticed by the first of: NCCL's error, the end of its owner's
// connection, and a transfer's time in flight.
struct ChannelTimeouts {
  int64_t open_ms = 30'000;  // both ranks load NCCL's kernels meanwhile
  // In flight: as long as this, and by the size.
  int64_t transfer_ms = 4'000;
  int64_t slowest_bytes_per_ms = 250'000;
  int64_t close_ms = 2'000;   // what is in flight, and NCCL's orderly end; then it is aborted
  int64_t abort_ms = 4'000;   // until the device has come to the end of what was aborted
  int64_t idle_ms = 600'000;  // open and without transfers: closed, since a communicator holds GPU memory
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_TIMEOUTS_H_
