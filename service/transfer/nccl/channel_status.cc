#include "service/transfer/nccl/channel_status.h"

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"

namespace chunkkv {

absl::Status ChannelClosed(std::string_view why) {
  return ErrorStatus(absl::StatusCode::kUnavailable, "CHANNEL_CLOSED",
                     absl::StrCat("channel: closed: ", absl::string_view(why.data(), why.size())));
}

absl::Status PeerLost(std::string_view why) {
  return ErrorStatus(absl::StatusCode::kUnavailable, "PEER_LOST",
                     absl::StrCat("channel: its peer is lost: ", absl::string_view(why.data(), why.size())));
}

absl::Status ChannelTimeout() {
  return ErrorStatus(absl::StatusCode::kDeadlineExceeded, "CHANNEL_TIMEOUT",
                     "channel: the other rank did not come in time");
}

absl::Status TransferTimeout(std::string_view where) {
  return ErrorStatus(
      absl::StatusCode::kDeadlineExceeded, "TRANSFER_TIMEOUT",
      absl::StrCat("channel: the transfer's time ended ", absl::string_view(where.data(), where.size())));
}

absl::Status TransferCancelled() {
  return ErrorStatus(absl::StatusCode::kCancelled, "TRANSFER_CANCELLED", "channel: the transfer was cancelled");
}

absl::Status DeviceStuck() {
  return ErrorStatus(absl::StatusCode::kInternal, "DEVICE_STUCK",
                     "channel: aborted, but the device has not ended the transfer");
}

}  // namespace chunkkv
