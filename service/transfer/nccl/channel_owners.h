#ifndef CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_OWNERS_H_
#define CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_OWNERS_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "service/base/mutex.h"
#include "service/format/bytes.h"
#include "service/transfer/nccl/channel.h"

namespace chunkkv {

// Who is there to own channels, by names that nobody else can guess. Thread-safe.
class ChannelOwners {
 public:
  struct Named {
    ChannelOwner owner = kNoOwner;
    Bytes16 id{};
  };

  Named Add(const std::string& tenant);
  // Whoever opens a channel for it looks again afterwards: it may have gone meanwhile.
  // Errors: NOT_FOUND OWNER_NOT_FOUND, the same for another tenant's.
  absl::StatusOr<ChannelOwner> Find(const std::string& tenant, const Bytes16& id) const;
  void Remove(const Bytes16& id);

 private:
  struct Row {
    std::string tenant;
    ChannelOwner owner = kNoOwner;
  };

  mutable Mutex mutex_;
  absl::flat_hash_map<Bytes16, Row, FixedBytesHash> rows_ ABSL_GUARDED_BY(mutex_);
  ChannelOwner last_ ABSL_GUARDED_BY(mutex_) = kNoOwner;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_OWNERS_H_
