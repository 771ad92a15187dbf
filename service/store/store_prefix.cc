// Finding the longest stored beginning of a prompt.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/store/entry_store_impl.h"
#include "service/store/prefix_lookup.h"

namespace chunkkv {
namespace {

absl::Status CheckQuery(const PrefixQuery& query, int64_t max_pin_ms) {
  if (query.hold_ms < 0 || query.hold_ms > max_pin_ms) {
    return InvalidArgument("BAD_HOLD", absl::StrCat("hold_ms must be between 0 and ", max_pin_ms));
  }
  if (query.shards.empty()) return InvalidArgument("BAD_SHARD", "shards: at least one is needed");
  const PromptDigests& prompt = query.prompt;
  const auto count = static_cast<int64_t>(prompt.digests.size());
  const bool consistent = prompt.block_size >= 1 && prompt.token_count > (count - 1) * prompt.block_size &&
                          prompt.token_count <= count * prompt.block_size;
  if (count > 0 && !consistent) {
    return InvalidArgument("BAD_BLOCK_DIGESTS", absl::StrCat("prompt: ", count, " blocks of ", prompt.block_size,
                                                             " tokens do not make ", prompt.token_count, " tokens"));
  }
  if (!query.tokens.empty() && static_cast<int64_t>(query.tokens.size()) != prompt.token_count) {
    return InvalidArgument("BAD_BLOCK_DIGESTS", "prompt: tokens and token_count differ");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PrefixMatch> EntryStore::Impl::FindLongestPrefix(const PrefixQuery& query) {
  CHUNKKV_RETURN_IF_ERROR(CheckQuery(query, MaxPinMs(query.tenant)));
  Tenant* tenant = nullptr;
  {
    MutexLock lock(mutex_);
    tenant = &TenantOf(query.tenant);
  }
  PrefixLookup lookup(query, tenant->hasher);
  if (!query.prompt.digests.empty()) {
    bool is_known = true;
    while (is_known && lookup.ExtendNames()) {
      MutexLock lock(mutex_);
      is_known = lookup.IsWhollyKnown(prefixes_);
    }
    {
      MutexLock lock(mutex_);
      lookup.CollectTails(prefixes_);
    }
    lookup.NameTails();
  }

  Aftermath after(watchers_);
  MutexLock lock(mutex_);
  Expire(after);
  const auto found = query.prompt.digests.empty() ? std::nullopt : lookup.Choose(prefixes_);
  tenant->counters.miss_tokens += query.prompt.token_count - (found.has_value() ? found->covered_tokens : 0);
  if (!found.has_value()) {
    return ErrorStatus(absl::StatusCode::kNotFound, "PREFIX_NOT_FOUND", "no stored entry serves this prompt");
  }
  PrefixMatch match;
  match.covered_tokens = found->covered_tokens;
  std::vector<Bytes16> entry_ids;
  for (StoredEntry* const stored : found->entries) {
    Use(*stored);
    match.entries.push_back(Placed(*stored));
    entry_ids.push_back(stored->id());
  }
  if (query.hold_ms > 0) {
    CHUNKKV_ASSIGN_OR_RETURN(match.lease, PinEntries(query.tenant, std::move(entry_ids), query.hold_ms));
  }
  return match;
}

}  // namespace chunkkv
