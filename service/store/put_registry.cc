#include "service/store/put_registry.h"

#include <algorithm>
#include <utility>

#include "service/store/accept_rule.h"

namespace chunkkv {

PutRegistry::PutToken PutRegistry::BeginPut(const EntryIdentity& identity) {
  const PutToken token = ++last_token_;
  puts_[token] = identity;
  meetings_[PromptOf(identity)].variants[token] = identity.variant;
  return token;
}

void PutRegistry::EndPut(PutToken token) {
  const auto put = puts_.find(token);
  if (put == puts_.end()) return;
  const PromptName name = PromptOf(put->second);
  puts_.erase(put);
  meetings_[name].variants.erase(token);
  EraseIfOver(name);
}

std::vector<PutRegistry::Waiter> PutRegistry::FailPut(PutToken token) {
  const auto put = puts_.find(token);
  if (put == puts_.end()) return {};
  const PromptName name = PromptOf(put->second);
  const Bytes32 variant = put->second.variant;
  EndPut(token);
  const auto meeting = meetings_.find(name);
  if (meeting == meetings_.end()) return {};
  const auto& in_progress = meeting->second.variants;
  return TakeWaiters(name, [&](const AcceptRule& accept) {
    return AwaitsVariant(accept, variant) && std::none_of(in_progress.begin(), in_progress.end(), [&](const auto& put) {
             return AwaitsVariant(accept, put.second);
           });
  });
}

PutRegistry::WaitId PutRegistry::AddWaiter(const PromptName& name, Waiter waiter) {
  const WaitId id = NewWaitId();
  waiter_names_[id] = name;
  meetings_[name].waiters.emplace(id, std::move(waiter));
  return id;
}

std::optional<PutRegistry::Waiter> PutRegistry::CancelWaiter(WaitId id) {
  const auto found = waiter_names_.find(id);
  if (found == waiter_names_.end()) return std::nullopt;
  const PromptName name = std::move(found->second);
  waiter_names_.erase(found);
  auto node = meetings_[name].waiters.extract(id);
  EraseIfOver(name);
  return std::move(node.mapped());
}

std::vector<PutRegistry::Waiter> PutRegistry::TakeWaiters(const PromptName& name,
                                                          absl::FunctionRef<bool(const AcceptRule&)> is_served) {
  std::vector<Waiter> taken;
  const auto meeting = meetings_.find(name);
  if (meeting == meetings_.end()) return taken;
  auto& waiters = meeting->second.waiters;
  for (auto waiter = waiters.begin(); waiter != waiters.end();) {
    if (!is_served(waiter->second.accept)) {
      ++waiter;
      continue;
    }
    taken.push_back(std::move(waiter->second));
    waiter_names_.erase(waiter->first);
    waiter = waiters.erase(waiter);
  }
  EraseIfOver(name);
  return taken;
}

void PutRegistry::EraseIfOver(const PromptName& name) {
  const auto meeting = meetings_.find(name);
  if (meeting != meetings_.end() && meeting->second.variants.empty() && meeting->second.waiters.empty()) {
    meetings_.erase(meeting);
  }
}

}  // namespace chunkkv
