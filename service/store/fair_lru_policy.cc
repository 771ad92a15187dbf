#include <algorithm>
#include <list>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "service/store/eviction_policy.h"

namespace chunkkv {
namespace {

using Order = std::list<Bytes16>;  // least recently used first

class FairLruPolicy : public EvictionPolicy {
 public:
  void Insert(const Bytes16& entry_id, int64_t size_bytes, OwnerId owner) override {
    Erase(entry_id);
    Owner& of_owner = owners_[owner];
    of_owner.size_bytes += size_bytes;
    total_bytes_ += size_bytes;
    places_[entry_id] = {order_.insert(order_.end(), entry_id), of_owner.order.insert(of_owner.order.end(), entry_id),
                         owner, size_bytes};
  }

  void Touch(const Bytes16& entry_id) override {
    const auto found = places_.find(entry_id);
    if (found == places_.end()) return;
    Place& place = found->second;
    order_.splice(order_.end(), order_, place.in_all);
    Order& own = owners_[place.owner].order;
    own.splice(own.end(), own, place.in_own);
  }

  void Resize(const Bytes16& entry_id, int64_t size_bytes) override {
    const auto found = places_.find(entry_id);
    if (found == places_.end()) return;
    const int64_t more_bytes = size_bytes - std::exchange(found->second.size_bytes, size_bytes);
    owners_[found->second.owner].size_bytes += more_bytes;
    total_bytes_ += more_bytes;
  }

  void Erase(const Bytes16& entry_id) override {
    const auto found = places_.find(entry_id);
    if (found == places_.end()) return;
    const Place& place = found->second;
    order_.erase(place.in_all);
    const auto owner = owners_.find(place.owner);
    owner->second.order.erase(place.in_own);
    owner->second.size_bytes -= place.size_bytes;
    total_bytes_ -= place.size_bytes;
    if (owner->second.order.empty()) owners_.erase(owner);
    places_.erase(found);
  }

  void VisitVictims(absl::FunctionRef<bool(const Bytes16&)> visit) const override {
    absl::flat_hash_set<Bytes16, FixedBytesHash> visited;
    if (owners_.size() > 1 && !VisitAboveShare(visit, visited)) return;
    for (const Bytes16& entry_id : order_) {
      if (!visited.contains(entry_id) && !visit(entry_id)) return;
    }
  }

  void VisitVictimsOf(OwnerId owner, absl::FunctionRef<bool(const Bytes16&)> visit) const override {
    const auto found = owners_.find(owner);
    if (found == owners_.end()) return;
    for (const Bytes16& entry_id : found->second.order) {
      if (!visit(entry_id)) return;
    }
  }

 private:
  struct Owner {
    Order order;
    int64_t size_bytes = 0;
  };
  struct Place {
    Order::iterator in_all;
    Order::iterator in_own;
    OwnerId owner = nullptr;
    int64_t size_bytes = 0;
  };

  // False where `visit` has said that it is enough.
  bool VisitAboveShare(absl::FunctionRef<bool(const Bytes16&)> visit,
                       absl::flat_hash_set<Bytes16, FixedBytesHash>& visited) const {
    const int64_t share_bytes = total_bytes_ / static_cast<int64_t>(owners_.size());
    std::vector<const Owner*> above;
    for (const auto& [id, owner] : owners_) {
      if (owner.size_bytes > share_bytes) above.push_back(&owner);
    }
    std::ranges::sort(above, std::greater<>(), &Owner::size_bytes);
    for (const Owner* owner : above) {
      int64_t left_bytes = owner->size_bytes;
      for (const Bytes16& entry_id : owner->order) {
        if (left_bytes <= share_bytes) break;
        left_bytes -= places_.find(entry_id)->second.size_bytes;
        visited.insert(entry_id);
        if (!visit(entry_id)) return false;
      }
    }
    return true;
  }

  Order order_;
  absl::flat_hash_map<OwnerId, Owner> owners_;
  absl::flat_hash_map<Bytes16, Place, FixedBytesHash> places_;
  int64_t total_bytes_ = 0;
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeFairLruPolicy() { return std::make_unique<FairLruPolicy>(); }

}  // namespace chunkkv
