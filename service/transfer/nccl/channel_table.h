// Channels by their ids, each of one tenant.
#ifndef CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_TABLE_H_
#define CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_TABLE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "service/base/mutex.h"
#include "service/format/bytes.h"
#include "service/transfer/nccl/channel.h"
#include "service/transfer/nccl/channel_device.h"
#include "service/transfer/nccl/nccl_library.h"

namespace chunkkv {

struct ChannelLimits {
  // Few, since a communicator holds GPU memory that no budget counts.
  int64_t max_channels = 64;  // of all tenants
  int64_t max_channels_of_tenant = 8;
  // Ever, since NCCL waits for each with a thread and a socket until the process ends.
  int64_t max_never_joined_of_tenant = 64;
};

struct ChannelRequest {
  std::string tenant;
  ChannelOwner owner = kNoOwner;
  int nccl_version = 0;        // the client's ncclGetVersion
  int device = 0;              // the server's
  std::string_view unique_id;  // as the client sent it: none, since the server makes it
};

struct OpenedChannel {
  Bytes16 id{};
  NcclUniqueId unique_id{};  // which the client joins with, as rank 1 of 2
};

// Thread-safe.
class ChannelTable {
 public:
  using Devices = std::map<int, std::shared_ptr<ChannelDevice>>;

  // `library` must outlive the table.
  ChannelTable(NcclLibrary& library, Devices devices, const ChannelLimits& limits = {})
      : library_(library), devices_(std::move(devices)), limits_(limits) {}

  // The channel's id is random; it begins to open. Errors: INVALID_ARGUMENT (BAD_UNIQUE_ID: of another size, or one
  // that the server did not make; BAD_DEVICE); FAILED_PRECONDITION NCCL_VERSION (not the server's); RESOURCE_EXHAUSTED
  // (TOO_MANY_CHANNELS; CHANNELS_NEVER_JOINED: too often nobody came); and those of NcclLibrary.
  absl::StatusOr<OpenedChannel> Open(const ChannelRequest& request);

  // One that opens or is open. Errors: NOT_FOUND CHANNEL_NOT_FOUND, the same for another tenant's; of one that ended
  // and was not closed, for a while, why: DEADLINE_EXCEEDED CHANNEL_TIMEOUT, UNAVAILABLE (PEER_LOST, CHANNEL_CLOSED),
  // ...
  absl::StatusOr<ChannelPtr> Find(const std::string& tenant, const Bytes16& id) const;

  // Ends in order, and forgotten here. Errors: NOT_FOUND CHANNEL_NOT_FOUND.
  absl::Status Close(const std::string& tenant, const Bytes16& id);
  // The owner's connection has ended: its channels end at once, UNAVAILABLE PEER_LOST.
  void Forget(ChannelOwner owner);

  // Channels of which anything is left.
  int64_t size() const;

 private:
  struct Row {
    ChannelPtr channel;
    bool is_closed = false;  // cannot be found any more
  };

  absl::Status CheckRequest(const ChannelRequest& request) const;
  absl::Status CheckCounts(const std::string& tenant) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RemoveEnded() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  NcclLibrary& library_;
  const Devices devices_;
  const ChannelLimits limits_;
  mutable Mutex mutex_;
  absl::flat_hash_map<Bytes16, Row, FixedBytesHash> rows_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, int64_t> never_joined_ ABSL_GUARDED_BY(mutex_);  // by tenant
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_TABLE_H_
