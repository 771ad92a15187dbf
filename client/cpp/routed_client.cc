#include "chunkkv/client/routed_client.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "client/cpp/call_time.h"
#include "client/cpp/replica_set.h"
#include "service/base/mutex.h"
#include "service/base/status_macros.h"

namespace chunkkv::client {
namespace {

// A session and the client that it needs.
struct HeldSession {
  std::shared_ptr<Client> client;
  std::unique_ptr<PutSession> session;
};

}  // namespace

// Asks replicas in order, each once, until one neither is UNAVAILABLE nor has ended with the call, or may_go_on is
// false; also such as are found meanwhile. All of it within the call's time.
template <typename Act>
auto RoutedClient::AtOwner(std::string_view routing_key, const CallTime& time, Act act,
                           const std::function<bool()>& may_go_on)
    -> decltype(act(std::shared_ptr<Client>(), CallOptions())) {
  std::optional<absl::Status> failure;
  std::set<std::string> asked;
  bool has_hope = true;
  while (true) {
    replicas_->Refresh(time);
    const std::vector<std::string> order = replicas_->Order(routing_key);
    const auto next = std::find_if(order.begin(), order.end(), [&](const auto& name) { return !asked.contains(name); });
    if (time.is_cancelled()) return ErrorStatus(absl::StatusCode::kCancelled, "CANCELLED", "by the caller");
    if ((time.is_over() && failure) || (next == order.end() && !has_hope)) return failure.value_or(replicas_->Nobody());
    if (next == order.end()) {
      has_hope = false;
      replicas_->AwaitNews(time);
      continue;
    }
    asked.insert(*next);
    CHUNKKV_ASSIGN_OR_RETURN(std::shared_ptr<Client> client, replicas_->ClientOf(*next));
    if (client == nullptr) continue;
    auto result = act(std::move(client), time.options());
    if (result.ok() || absl::IsNotFound(result.status())) replicas_->NoteAnswer(*next);
    const bool has_ended = absl::IsCancelled(result.status()) && !time.is_cancelled() && may_go_on();
    if (!absl::IsUnavailable(result.status()) && !has_ended) return result;
    failure = result.status();
    replicas_->NoteFailure(*next);
    if (!may_go_on()) return result;
  }
}

// Asks all replicas at once.
template <typename Act>
auto RoutedClient::Everywhere(const CallOptions& options, Act act)
    -> std::map<std::string, decltype(act(std::declval<Client&>(), std::declval<const CallTime&>()))> {
  using Answer = decltype(act(std::declval<Client&>(), std::declval<const CallTime&>()));
  const CallTime time = replicas_->TimeOf(options);
  replicas_->Refresh(time);
  Mutex mutex;
  std::map<std::string, Answer> answers;
  const auto ask = [&](const std::string& name) {
    const auto client = replicas_->ClientOf(name);
    if (client.ok() && *client == nullptr) return;
    Answer answer = client.ok() ? act(**client, time) : Answer(client.status());
    MutexLock lock(mutex);
    answers.emplace(name, std::move(answer));
  };
  std::vector<std::thread> threads;
  for (const std::string& name : replicas_->Names()) threads.emplace_back(ask, name);
  for (std::thread& thread : threads) thread.join();
  return answers;
}

absl::StatusOr<std::unique_ptr<RoutedClient>> RoutedClient::Connect(const std::vector<std::string>& addresses,
                                                                    RoutedOptions options) {
  if (addresses.empty()) return InvalidArgument("BAD_ADDRESS", "no addresses");
  for (const std::string& address : addresses) {
    if (address.find(':') == std::string::npos || address.ends_with(':')) {
      return InvalidArgument("BAD_ADDRESS", "neither host:port nor dns:///host:port: " + address);
    }
  }
  return std::unique_ptr<RoutedClient>(
      new RoutedClient(std::make_unique<ReplicaSet>(addresses, std::move(options))));
}

RoutedClient::RoutedClient(std::unique_ptr<ReplicaSet> replicas) : replicas_(std::move(replicas)) {}
RoutedClient::~RoutedClient() = default;

absl::StatusOr<PutResult> RoutedClient::Put(const PutRequest& request, absl::Span<const LayerArrays> layers,
                                            const CallOptions& options,
                                            absl::Span<const std::vector<int32_t>> positions) {
  const std::string key = request.routing_key.empty() ? RoutingKeyOf(request.prompt) : request.routing_key;
  return AtOwner(key, replicas_->TimeOf(options), [&](const std::shared_ptr<Client>& client, const CallOptions& left) {
    return client->Put(request, layers, left, positions);
  });
}

absl::StatusOr<std::shared_ptr<PutSession>> RoutedClient::BeginPut(const PutRequest& request,
                                                                   const CallOptions& options) {
  const std::string key = request.routing_key.empty() ? RoutingKeyOf(request.prompt) : request.routing_key;
  return AtOwner(key, replicas_->TimeOf(options),
                 [&](const std::shared_ptr<Client>& client,
                     const CallOptions& left) -> absl::StatusOr<std::shared_ptr<PutSession>> {
                   CHUNKKV_ASSIGN_OR_RETURN(std::unique_ptr<PutSession> session, client->BeginPut(request, left));
                   auto held = std::make_shared<HeldSession>(HeldSession{client, std::move(session)});
                   return std::shared_ptr<PutSession>(held, held->session.get());
                 });
}

absl::StatusOr<CachedEntry> RoutedClient::Get(const GetRequest& request, const CallOptions& options) {
  if (request.region != nullptr || request.mapped) {
    return InvalidArgument("NOT_ROUTED", "regions and mapped entries are of one server");
  }
  const std::string key = request.routing_key.empty() ? RoutingKeyOf(request.prompt) : request.routing_key;
  bool handed_on = false;  // another replica would hand on the same again
  GetRequest watched = request;
  if (request.on_header) {
    watched.on_header = [&](const EntryHeader& header) {
      handed_on = true;
      return request.on_header(header);
    };
  }
  if (request.on_layer) {
    watched.on_layer = [&](const LayerView& layer) {
      handed_on = true;
      return request.on_layer(layer);
    };
  }
  const CallTime time = replicas_->TimeOf(options);
  const auto get = [&](const std::shared_ptr<Client>& client, const CallOptions& left) {
    watched.wait = std::max(std::chrono::milliseconds(0), request.wait - time.elapsed());
    return client->Get(watched, left);
  };
  return AtOwner(key, time, get, [&] { return !handed_on; });
}

absl::StatusOr<std::vector<PrefixFound>> RoutedClient::FindLongestPrefix(absl::Span<const PrefixQuery> queries,
                                                                         const CallOptions& options) {
  const CallTime time = replicas_->TimeOf(options);
  replicas_->Refresh(time);
  std::map<std::string, std::vector<size_t>> by_owner;
  std::vector<std::string> keys;
  for (const PrefixQuery& query : queries) {
    keys.push_back(query.routing_key.empty() ? RoutingKeyOf(query.prompt) : query.routing_key);
    const std::vector<std::string> order = replicas_->Order(keys.back());
    by_owner[order.empty() ? "" : order.front()].push_back(keys.size() - 1);
  }
  std::vector<PrefixFound> results(queries.size());
  for (const auto& [owner, indices] : by_owner) {
    std::vector<PrefixQuery> asked;
    for (const size_t index : indices) asked.push_back(queries[index]);
    auto found = AtOwner(keys[indices.front()], time,
                         [&](const std::shared_ptr<Client>& client, const CallOptions& left) {
                           return client->FindLongestPrefix(asked, left);
                         });
    if (!found.ok() && !absl::IsUnavailable(found.status())) return found.status();
    for (size_t i = 0; i < indices.size(); ++i) {
      if (found.ok()) {
        results[indices[i]] = std::move((*found)[i]);
      } else {
        results[indices[i]].status = found.status();
      }
    }
  }
  return results;
}

absl::StatusOr<std::vector<absl::StatusOr<EntryInfo>>> RoutedClient::Describe(std::string_view routing_key,
                                                                              absl::Span<const EntrySelector> entries,
                                                                              bool with_positions,
                                                                              const CallOptions& options) {
  return AtOwner(routing_key, replicas_->TimeOf(options),
                 [&](const std::shared_ptr<Client>& client, const CallOptions& left) {
                   return client->Describe(entries, with_positions, left);
                 });
}

absl::StatusOr<std::vector<absl::StatusOr<Pin>>> RoutedClient::PinEntries(std::string_view routing_key,
                                                                          absl::Span<const EntrySelector> entries,
                                                                          std::chrono::milliseconds duration,
                                                                          const CallOptions& options) {
  return AtOwner(routing_key, replicas_->TimeOf(options),
                 [&](const std::shared_ptr<Client>& client, const CallOptions& left) {
                   return client->PinEntries(entries, duration, left);
                 });
}

absl::StatusOr<std::vector<absl::Status>> RoutedClient::Delete(std::string_view routing_key,
                                                               absl::Span<const EntrySelector> entries,
                                                               const CallOptions& options) {
  return AtOwner(routing_key, replicas_->TimeOf(options),
                 [&](const std::shared_ptr<Client>& client, const CallOptions& left) {
                   return client->Delete(entries, left);
                 });
}

absl::StatusOr<std::vector<absl::Status>> RoutedClient::Unpin(absl::Span<const Bytes16> pin_ids,
                                                              const CallOptions& options) {
  const auto replies = Everywhere(options, [&](Client& client, const CallTime& time) {
    return client.Unpin(pin_ids, time.options());
  });
  if (replies.empty()) return replicas_->Nobody();
  std::vector<absl::Status> statuses;
  for (size_t i = 0; i < pin_ids.size(); ++i) {
    absl::Status status = absl::NotFoundError("");
    for (const auto& [name, reply] : replies) {
      const absl::Status& one = reply.ok() ? (*reply)[i] : reply.status();
      if (absl::IsNotFound(status) || one.ok()) status = one;
    }
    statuses.push_back(std::move(status));
  }
  return statuses;
}

std::map<std::string, absl::StatusOr<TrimResult>> RoutedClient::Trim(const TrimRequest& request,
                                                                     const CallOptions& options) {
  return Everywhere(options,
                    [&](Client& client, const CallTime& time) { return client.Trim(request, time.options()); });
}

std::map<std::string, absl::StatusOr<Capabilities>> RoutedClient::GetCapabilities(const CallOptions& options) {
  return Everywhere(options,
                    [](Client& client, const CallTime& time) { return client.GetCapabilities(time.options()); });
}

std::map<std::string, absl::StatusOr<ServerStats>> RoutedClient::GetStats(const CallOptions& options) {
  return Everywhere(options, [](Client& client, const CallTime& time) { return client.GetStats(time.options()); });
}

std::map<std::string, absl::StatusOr<std::vector<EntryInfo>>> RoutedClient::List(
    const std::optional<Bytes32>& fingerprint, const CallOptions& options) {
  const auto list = [&](Client& client, const CallTime& time) -> absl::StatusOr<std::vector<EntryInfo>> {
    std::vector<EntryInfo> entries;
    std::string token;
    do {
      CHUNKKV_ASSIGN_OR_RETURN(ListPage page, client.List(0, token, fingerprint, time.options()));
      std::move(page.entries.begin(), page.entries.end(), std::back_inserter(entries));
      token = page.next_page_token;
    } while (!token.empty());
    return entries;
  };
  return Everywhere(options, list);
}

std::vector<std::string> RoutedClient::Replicas() {
  replicas_->Refresh(replicas_->TimeOf({}));
  return replicas_->Names();
}

std::vector<std::string> RoutedClient::OrderOf(std::string_view routing_key) {
  replicas_->Refresh(replicas_->TimeOf({}));
  return replicas_->Order(routing_key);
}

}  // namespace chunkkv::client
