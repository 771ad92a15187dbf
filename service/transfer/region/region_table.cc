#include "service/transfer/region/region_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/random.h"
#include "service/base/status_macros.h"

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

// Its memory goes back before `quiet`: its owner may free it then.
void CloseRegion(const RegionPtr& region, std::function<void()> quiet) {
  region->gate->Close([region, quiet = std::move(quiet)] {
    region->memory->Close();
    quiet();
  });
}

}  // namespace

absl::StatusOr<Bytes32> RegionTable::Offer(PeerId peer, FileDescriptor descriptor) {
  Bytes32 token;
  FillRandom(token.data(), token.size());
  MutexLock lock(mutex_);
  int64_t& count = offer_counts_[peer];
  if (count >= limits_.max_offers_of_peer || static_cast<int64_t>(offers_.size()) >= limits_.max_offers) {
    return Exhausted("TOO_MANY_OFFERS", absl::StrCat("at most ", limits_.max_offers_of_peer, " of a client and ",
                                                     limits_.max_offers, " of all at once"));
  }
  ++count;
  offers_.emplace(token, OfferOf{peer, std::move(descriptor)});
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
  for (const RegionPtr& region : regions) CloseRegion(region, [] {});
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

absl::StatusOr<std::vector<RegionTable::OfferOf>> RegionTable::TakeOffers(absl::Span<const Bytes32> tokens) {
  std::vector<OfferOf> taken;
  for (const Bytes32& token : tokens) {
    const auto found = offers_.find(token);
    if (found == offers_.end()) return TokenNotFound();
    taken.push_back(std::move(found->second));
    offers_.erase(found);
    --offer_counts_[taken.back().peer];
    if (taken.back().peer != taken.front().peer) return TokenNotFound();
  }
  return taken;
}

absl::StatusOr<Bytes16> RegionTable::Register(NewRegion wanted, const MapOffers& map) {
  absl::StatusOr<std::vector<OfferOf>> offers;
  {
    MutexLock lock(mutex_);
    CHUNKKV_RETURN_IF_ERROR(CheckCount(wanted.tenant));
    offers = TakeOffers(wanted.tokens);
    if (!offers.ok()) return offers.status();
  }
  auto region = std::make_shared<Region>();
  FillRandom(region->id.data(), region->id.size());
  region->tenant = std::move(wanted.tenant);
  region->name = std::move(wanted.name);
  region->kind = wanted.kind;
  region->peer = offers->front().peer;
  std::vector<FileDescriptor> descriptors;
  for (OfferOf& offer : *offers) descriptors.push_back(std::move(offer.descriptor));
  CHUNKKV_ASSIGN_OR_RETURN(region->memory, map(std::move(descriptors)));
  MutexLock lock(mutex_);
  if (!offer_counts_.contains(region->peer)) return TokenNotFound();  // gone meanwhile
  CHUNKKV_RETURN_IF_ERROR(CheckCount(region->tenant));
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
  CloseRegion(region, std::move(quiet));
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
