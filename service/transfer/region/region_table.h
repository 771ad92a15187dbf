// Memory that clients on this host have lent: offered over the local socket, then registered by a tenant's call.
#ifndef CHUNKKV_SERVICE_TRANSFER_REGION_REGION_TABLE_H_
#define CHUNKKV_SERVICE_TRANSFER_REGION_REGION_TABLE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "service/base/gate.h"
#include "service/base/mutex.h"
#include "service/format/bytes.h"
#include "service/format/file_descriptor.h"
#include "service/transfer/region/peer_id.h"
#include "service/transfer/region/peer_memory.h"

namespace chunkkv {

enum class RegionKind { kSharedMemory, kCudaIpc, kCudaDescriptors };

// Registered memory of one tenant. Whoever touches it is inside its gate, which is closed once it is unregistered.
struct Region {
  Bytes16 id{};
  std::string tenant;
  std::string name;
  RegionKind kind = RegionKind::kSharedMemory;
  PeerId peer = 0;
  std::shared_ptr<PeerMemory> memory;
  const std::shared_ptr<Gate> gate = std::make_shared<Gate>();
};
using RegionPtr = std::shared_ptr<const Region>;

struct RegionLimits {
  int64_t max_regions = 4096;  // of all tenants
  int64_t max_regions_of_tenant = 1024;
  int64_t max_offers = 2048;          // not yet registered, of all peers
  int64_t max_offers_of_peer = 1024;
};

// What a tenant registers: memory that one peer has offered.
struct NewRegion {
  std::string tenant;
  std::string name;
  RegionKind kind = RegionKind::kSharedMemory;
  std::vector<Bytes32> tokens;  // one at least
};
// Makes the memory of the offers, in the order of their tokens; one without a descriptor is not open.
using MapOffers = std::function<absl::StatusOr<std::shared_ptr<PeerMemory>>(std::vector<FileDescriptor>)>;

// Thread-safe.
class RegionTable {
 public:
  explicit RegionTable(const RegionLimits& limits = {}) : limits_(limits) {}

  // --- The local socket's side ---
  // Takes a descriptor, or none (-1) where memory is named otherwise, until it is registered or its peer has gone; the
  // token is random, and good once.
  // Errors: RESOURCE_EXHAUSTED TOO_MANY_OFFERS.
  absl::StatusOr<Bytes32> Offer(PeerId peer, FileDescriptor descriptor);
  // The client's process has ended, or closed its connection: its offers go, its regions are unregistered.
  void Forget(PeerId peer);

  // --- The tenants' side ---
  // Tokens are used up, whatever `map` returns. Errors: NOT_FOUND TOKEN_NOT_FOUND (one is wrong, used, twice there,
  // another peer's than the first, or its peer gone), RESOURCE_EXHAUSTED TOO_MANY_REGIONS, and those of `map`.
  absl::StatusOr<Bytes16> Register(NewRegion region, const MapOffers& map);
  // Errors: NOT_FOUND REGION_NOT_FOUND, the same for another tenant's.
  absl::StatusOr<RegionPtr> Find(const std::string& tenant, const Bytes16& id) const;
  // Nothing begins to touch the region from now on; `quiet` runs when nothing does any more. Errors: as Find.
  absl::Status Unregister(const std::string& tenant, const Bytes16& id, std::function<void()> quiet);
  std::vector<RegionPtr> List(const std::string& tenant) const;

  int64_t size() const;  // regions and offers

 private:
  struct OfferOf {
    PeerId peer = 0;
    FileDescriptor descriptor{-1};
  };
  // The offers of these tokens, of one peer, in order. Errors: as Register.
  absl::StatusOr<std::vector<OfferOf>> TakeOffers(absl::Span<const Bytes32> tokens)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckCount(const std::string& tenant) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const RegionLimits limits_;
  mutable Mutex mutex_;
  absl::flat_hash_map<Bytes32, OfferOf, FixedBytesHash> offers_ ABSL_GUARDED_BY(mutex_);
  // Offers of peers that are connected, and regions being mapped; a peer that is not here has gone.
  std::map<PeerId, int64_t> offer_counts_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<Bytes16, RegionPtr, FixedBytesHash> regions_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_REGION_REGION_TABLE_H_
