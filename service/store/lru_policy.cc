#include <list>

#include "absl/container/flat_hash_map.h"
#include "service/store/eviction_policy.h"

namespace chunkkv {
namespace {

// Least recently used first.
class LruPolicy : public EvictionPolicy {
 public:
  void Insert(const Bytes16& entry_id, int64_t) override {
    Erase(entry_id);
    places_[entry_id] = order_.insert(order_.end(), entry_id);
  }

  void Touch(const Bytes16& entry_id) override {
    if (const auto found = places_.find(entry_id); found != places_.end()) {
      order_.splice(order_.end(), order_, found->second);
    }
  }

  void Erase(const Bytes16& entry_id) override {
    if (const auto found = places_.find(entry_id); found != places_.end()) {
      order_.erase(found->second);
      places_.erase(found);
    }
  }

  void VisitVictims(absl::FunctionRef<bool(const Bytes16&)> visit) const override {
    for (const Bytes16& entry_id : order_) {
      if (!visit(entry_id)) return;
    }
  }

 private:
  std::list<Bytes16> order_;
  absl::flat_hash_map<Bytes16, std::list<Bytes16>::iterator, FixedBytesHash> places_;
};

}  // namespace

std::unique_ptr<EvictionPolicy> MakeLruPolicy() { return std::make_unique<LruPolicy>(); }

}  // namespace chunkkv
