// Where puts in progress and readers that wait for them meet. Not thread-safe: the store locks; callbacks are handed
// out to be called without locks.
#ifndef CHUNKKV_SERVICE_STORE_PUT_REGISTRY_H_
#define CHUNKKV_SERVICE_STORE_PUT_REGISTRY_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "service/store/entry_store.h"
#include "service/store/prompt_name_hash.h"

namespace chunkkv {

class PutRegistry {
 public:
  using PutToken = EntryStore::PutToken;
  using WaitId = EntryStore::WaitId;
  using WaitCallback = EntryStore::WaitCallback;

  struct Waiter {
    AcceptRule accept;
    WaitCallback done;
    std::string tenant;
    int64_t miss_tokens = 0;  // counted where no entry comes
  };

  PutToken BeginPut(const EntryIdentity& identity);
  // The put is over, one way or the other. No effect for a token that is over already.
  void EndPut(PutToken token);
  // As EndPut; returns the waiters that this put could have served, where no other put in progress can.
  std::vector<Waiter> FailPut(PutToken token);

  // An id that no waiter has: of a wait that was over at once.
  WaitId NewWaitId() { return ++last_wait_id_; }
  WaitId AddWaiter(const PromptName& name, Waiter waiter);
  // Empty where the waiter is gone already.
  std::optional<Waiter> CancelWaiter(WaitId id);
  // Takes the waiters of `name` for whom `is_served` is true.
  std::vector<Waiter> TakeWaiters(const PromptName& name, absl::FunctionRef<bool(const AcceptRule&)> is_served);

  int64_t put_count() const { return static_cast<int64_t>(puts_.size()); }
  int64_t waiter_count() const { return static_cast<int64_t>(waiter_names_.size()); }

 private:
  struct Meeting {
    std::map<PutToken, Bytes32> variants;  // of the puts in progress
    std::map<WaitId, Waiter> waiters;      // in order of arrival
  };
  using Meetings = absl::flat_hash_map<PromptName, Meeting>;

  void EraseIfOver(const PromptName& name);

  Meetings meetings_;
  absl::flat_hash_map<PutToken, EntryIdentity> puts_;
  absl::flat_hash_map<WaitId, PromptName> waiter_names_;
  PutToken last_token_ = 0;
  WaitId last_wait_id_ = 0;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_PUT_REGISTRY_H_
