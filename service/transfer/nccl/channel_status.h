// How channels and their transfers end.
#ifndef CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_STATUS_H_
#define CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_STATUS_H_

#include <string_view>

#include "absl/status/status.h"

namespace chunkkv {

// UNAVAILABLE CHANNEL_CLOSED, PEER_LOST.
absl::Status ChannelClosed(std::string_view why);
absl::Status PeerLost(std::string_view why);
// DEADLINE_EXCEEDED CHANNEL_TIMEOUT: the peer never came; TRANSFER_TIMEOUT.
absl::Status ChannelTimeout();
absl::Status TransferTimeout(std::string_view where);
// CANCELLED TRANSFER_CANCELLED.
absl::Status TransferCancelled();
// INTERNAL DEVICE_STUCK: aborted, but the device does not come to the end of it. The transfer's memory may still be
// touched: it must never be used again.
absl::Status DeviceStuck();

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_STATUS_H_
