#include "client/cpp/replica_set.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"

namespace chunkkv::client {
namespace {

constexpr std::string_view kDnsScheme = "dns:///";
constexpr std::chrono::milliseconds kLongestWait = std::chrono::hours(24 * 366);
constexpr auto kLastPatience = std::chrono::milliseconds(500);

}  // namespace

RoutedClient::ReplicaSet::ReplicaSet(const std::vector<std::string>& addresses, RoutedOptions options)
    : options_(std::move(options)) {
  for (const std::string& address : addresses) {
    if (address.starts_with(kDnsScheme)) {
      dns_names_.push_back(std::make_unique<FollowedName>(address.substr(kDnsScheme.size()), options_));
    } else {
      fixed_.push_back(address);
    }
  }
  MutexLock lock(mutex_);
  SetNames(fixed_);
}

void RoutedClient::ReplicaSet::Refresh(const CallTime& time) {
  const auto until = std::chrono::steady_clock::now() + std::min(time.left().value_or(kLongestWait), kLongestWait);
  for (const auto& name : dns_names_) {
    name->AwaitFirst(until, time.cancellation());
    name->Refresh();
  }
  MutexLock lock(mutex_);
  std::vector<FollowedName::Addresses> found;
  for (const auto& name : dns_names_) found.push_back(name->addresses());
  if (found == found_) return;
  found_ = std::move(found);
  std::vector<std::string> names = fixed_;
  for (const auto& addresses : found_) names.insert(names.end(), addresses->begin(), addresses->end());
  SetNames(names);
}

void RoutedClient::ReplicaSet::AwaitNews(const CallTime& time) const {
  const auto patience = std::min<std::chrono::milliseconds>(time.left().value_or(kLastPatience), kLastPatience);
  const auto until = std::chrono::steady_clock::now() + patience;
  for (const auto& name : dns_names_) name->AwaitNext(until, time.cancellation());
}

std::vector<std::string> RoutedClient::ReplicaSet::Names() const {
  MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, replica] : replicas_) names.push_back(name);
  return names;
}

std::vector<std::string> RoutedClient::ReplicaSet::Order(std::string_view routing_key) const {
  const auto now = options_.now();
  std::vector<std::string> ready, late;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, replica] : replicas_) (replica.stand_back.IsOver(now) ? ready : late).push_back(name);
  }
  std::vector<std::string> order = RankReplicas(std::move(ready), routing_key);
  for (std::string& name : RankReplicas(std::move(late), routing_key)) order.push_back(std::move(name));
  return order;
}

absl::StatusOr<std::shared_ptr<Client>> RoutedClient::ReplicaSet::ClientOf(const std::string& name) {
  MutexLock lock(mutex_);
  const auto found = replicas_.find(name);
  if (found == replicas_.end()) return std::shared_ptr<Client>();
  if (found->second.client == nullptr) {
    ConnectOptions connect = options_.connect;
    connect.connect_timeout = std::chrono::milliseconds(0);
    auto client = Client::Connect(name, connect);
    if (!client.ok()) return client.status();
    found->second.client = *std::move(client);
  }
  return found->second.client;
}

void RoutedClient::ReplicaSet::NoteFailure(const std::string& name) {
  const auto now = options_.now();
  {
    MutexLock lock(mutex_);
    if (const auto found = replicas_.find(name); found != replicas_.end()) {
      found->second.stand_back.NoteFailure(now, options_);
    }
  }
  for (const auto& dns_name : dns_names_) dns_name->Doubt();
}

void RoutedClient::ReplicaSet::NoteAnswer(const std::string& name) {
  MutexLock lock(mutex_);
  if (const auto found = replicas_.find(name); found != replicas_.end()) found->second.stand_back.NoteAnswer();
}

absl::Status RoutedClient::ReplicaSet::Nobody() const {
  std::string text = "no replica is known";
  for (const auto& name : dns_names_) {
    if (const std::string failure = name->failure(); !failure.empty()) absl::StrAppend(&text, "; ", failure);
  }
  return ErrorStatus(absl::StatusCode::kUnavailable, "NO_REPLICAS", text);
}

void RoutedClient::ReplicaSet::SetNames(const std::vector<std::string>& names) {
  const std::set<std::string> wanted(names.begin(), names.end());
  std::erase_if(replicas_, [&](const auto& entry) { return !wanted.contains(entry.first); });
  for (const std::string& name : wanted) replicas_.try_emplace(name);
}

}  // namespace chunkkv::client
