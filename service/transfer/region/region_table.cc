#include "service/transfer/region/region_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/random.h"
#include "service/base/status_macros.h"
#include "service/transfer/region/shared_memory.h"

namespace chunkkv {
namespace {

absl::Status Exhausted(const char* reason, const std::string& what) {
  return ErrorStatus(absl::StatusCode::kResourceExhausted, reason, what);
}

absl::Status RegionNotFound() {
  return ErrorStatus(absl::StatusCode::kNotFound, "REGION_NOT_FOUND", "region_id: no such region");
}

absl::Status TokenNotFound() {
  return ErrorStatus(absl::StatusCode::kNotFound, "TOKEN_NOT_FOUND", "token: no such offer");
}

}  // namespace

absl::StatusOr<Bytes32> RegionTable::Offer(PeerId peer, FileDescriptor descriptor) {
  auto held = std::make_shared<FileDescriptor>(std::move(descriptor));
  Bytes32 token;
  FillRandom(token.data(), token.size());
  MutexLock lock(mutex_);
  int64_t& count = offer_counts_[peer];
  if (count >= limits_.max_offers_of_peer) {
    return Exhausted("TOO_MANY_OFFERS", absl::StrCat("at most ", limits_.max_offers_of_peer, " offers at once"));
  }
  ++count;
  offers_.emplace(token, OfferOf{peer, std::move(held)});
  return token;
}

void RegionTable::Forget(PeerId peer) {
  std::vector<OfferOf> offers;  // closed after the lock
  std::vector<RegionPtr> regions;
  {
    MutexLock lock(mutex_);
    offer_counts_.erase(peer);
    for (auto at = offers_.begin(); at != offers_.end();) {
      const auto here = at++;
      if (here->second.peer != peer) continue;
      offers.push_back(std::move(here->second));
      offers_.erase(here);
    }
    for (auto at = regions_.begin(); at != regions_.end();) {
      const auto here = at++;
      if (here->second->peer != peer) continue;
      regions.push_back(std::move(here->second));
      regions_.erase(here);
    }
  }
  for (const RegionPtr& region : regions) region->gate->Close([] {});
}

absl::Status RegionTable::CheckCount(const std::string& tenant) const {
  const auto of_tenant =
      std::count_if(regions_.begin(), regions_.end(), [&](const auto& row) { return row.second->tenant == tenant; });
  if (static_cast<int64_t>(regions_.size()) < limits_.max_regions && of_tenant < limits_.max_regions_of_tenant) {
    return absl::OkStatus();
  }
  return Exhausted("TOO_MANY_REGIONS", absl::StrCat("at most ", limits_.max_regions_of_tenant, " of a tenant and ",
                                                    limits_.max_regions, " of all"));
}

absl::StatusOr<Bytes16> RegionTable::Register(const std::string& tenant, const Bytes32& token, int64_t size_bytes,
                                              std::string name) {
  OfferOf offer;
  {
    MutexLock lock(mutex_);
    const auto found = offers_.find(token);
    if (found == offers_.end()) return TokenNotFound();
    CHUNKKV_RETURN_IF_ERROR(CheckCount(tenant));
    offer = std::move(found->second);
    offers_.erase(found);
    --offer_counts_[offer.peer];
  }
  auto region = std::make_shared<Region>();
  FillRandom(region->id.data(), region->id.size());
  region->tenant = tenant;
  region->name = std::move(name);
  region->peer = offer.peer;
  CHUNKKV_ASSIGN_OR_RETURN(region->memory, SharedMemory::Map(std::move(*offer.descriptor), size_bytes));
  MutexLock lock(mutex_);
  if (!offer_counts_.contains(offer.peer)) return TokenNotFound();  // gone meanwhile
  CHUNKKV_RETURN_IF_ERROR(CheckCount(tenant));
  regions_.emplace(region->id, region);
  return region->id;
}

absl::StatusOr<RegionPtr> RegionTable::Find(const std::string& tenant, const Bytes16& id) const {
  MutexLock lock(mutex_);
  const auto found = regions_.find(id);
  if (found == regions_.end() || found->second->tenant != tenant) return RegionNotFound();
  return found->second;
}

absl::Status RegionTable::Unregister(const std::string& tenant, const Bytes16& id, std::function<void()> quiet) {
  RegionPtr region;
  {
    MutexLock lock(mutex_);
    const auto found = regions_.find(id);
    if (found == regions_.end() || found->second->tenant != tenant) return RegionNotFound();
    region = std::move(found->second);
    regions_.erase(found);
  }
  region->gate->Close(std::move(quiet));
  return absl::OkStatus();
}

std::vector<RegionPtr> RegionTable::List(const std::string& tenant) const {
  std::vector<RegionPtr> regions;
  MutexLock lock(mutex_);
  for (const auto& [id, region] : regions_) {
    if (region->tenant == tenant) regions.push_back(region);
  }
  std::sort(regions.begin(), regions.end(), [](const RegionPtr& a, const RegionPtr& b) { return a->id < b->id; });
  return regions;
}

int64_t RegionTable::size() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(regions_.size() + offers_.size());
}

}  // namespace chunkkv
