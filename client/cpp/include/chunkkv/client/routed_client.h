// Several replicas as one: every prompt has an owner among them, by rendezvous hashing (proto/chunkkv/v1/README.md,
// "Replicas"), and clients in any language agree on it.
//
//   auto client = chunkkv::client::RoutedClient::Connect({"dns:///chunkkv-headless:7421"});
//   auto put = (*client)->Put(request, layers);
//
// A call goes to the owner of its routing key. Where that is UNAVAILABLE (it cannot be reached, it drains), or CANCELLED
// by no caller (it has ended meanwhile), the next replica in order is asked, each once; any other status is the answer.
// A call's timeout, and a get's wait, are of all that. A replica that failed stands back: it is asked after the others
// for a second, twice as long after each further failure, up to half a minute, until it answers (OK or NOT_FOUND).
//
// Names are resolved in threads of their own. A call waits for a resolver only where that has never answered, and, half
// a second at most, where all replicas have failed it. A resolution that fails leaves the addresses that were known.
#ifndef CHUNKKV_CLIENT_ROUTED_CLIENT_H_
#define CHUNKKV_CLIENT_ROUTED_CLIENT_H_

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chunkkv/client/client.h"

namespace chunkkv::client {

double UniformRandom();  // in [0, 1)

struct RoutedOptions {
  ConnectOptions connect{.connect_timeout = std::chrono::milliseconds(0), .tls = {}, .token = {}, .share_group = {},
                         .lost_after = std::chrono::milliseconds(3000)};  // connect_timeout is not used
  std::chrono::milliseconds resolve_every{5000};  // DNS names; also after a failure, at most once in pass_over
  // How long a replica that failed comes after the others: at first, and at last. Each time up to a fifth less.
  std::chrono::milliseconds pass_over{1000};
  std::chrono::milliseconds longest_pass_over{30'000};
  // All addresses of a name, "host:port", as "address:port". Unset: the system's resolver. Called in a thread of the
  // client's. One that does not return is left behind by the client's destructor after half a second: what it uses
  // should be its own.
  std::function<absl::StatusOr<std::vector<std::string>>(const std::string& name)> resolve;
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;  // called in any thread
  std::function<double()> random = UniformRandom;  // in [0, 1); calls never overlap
};

// What a prompt is routed by: its first block's digest, or its key where only that is known. Empty: it names nothing.
std::string RoutingKeyOf(const Prompt& prompt);

// Replicas in the order in which they are asked for a routing key: the owner first.
std::vector<std::string> RankReplicas(std::vector<std::string> names, std::string_view routing_key);

class CallTime;

// Thread-safe. Calls mean what Client's do. Regions, mapped entries, Watch and RecordScores are of one server, and so
// not offered here: a Client of one of Replicas() has them.
class RoutedClient {
 public:
  // Each address "host:port", or "dns:///host:port": every address of the name is a replica, and the list follows the
  // name. Connects at the first calls. Errors: INVALID_ARGUMENT (BAD_ADDRESS).
  static absl::StatusOr<std::unique_ptr<RoutedClient>> Connect(const std::vector<std::string>& addresses,
                                                               RoutedOptions options = {});
  ~RoutedClient();

  absl::StatusOr<PutResult> Put(const PutRequest& request, absl::Span<const LayerArrays> layers,
                                const CallOptions& options = {}, absl::Span<const std::vector<int32_t>> positions = {});
  // The next replica is asked until one has begun the put; what fails later is the session's failure. May outlive this.
  absl::StatusOr<std::shared_ptr<PutSession>> BeginPut(const PutRequest& request, const CallOptions& options = {});
  // Goes on to the next replica until on_header or on_layer was called: then what was handed on was right, and the
  // failure is the answer. Errors: INVALID_ARGUMENT (NOT_ROUTED) where a region or a mapping is asked for.
  absl::StatusOr<CachedEntry> Get(const GetRequest& request, const CallOptions& options = {});
  // Each query is the owner's of its prompt; one call for each owner. A query whose replicas are all unavailable has
  // that status.
  absl::StatusOr<std::vector<PrefixFound>> FindLongestPrefix(absl::Span<const PrefixQuery> queries,
                                                             const CallOptions& options = {});
  // Entries of prompts with one routing key (RoutingKeyOf).
  absl::StatusOr<std::vector<absl::StatusOr<EntryInfo>>> Describe(std::string_view routing_key,
                                                                  absl::Span<const EntrySelector> entries,
                                                                  bool with_positions, const CallOptions& options = {});
  absl::StatusOr<std::vector<absl::StatusOr<Pin>>> PinEntries(std::string_view routing_key,
                                                              absl::Span<const EntrySelector> entries,
                                                              std::chrono::milliseconds duration,
                                                              const CallOptions& options = {});
  absl::StatusOr<std::vector<absl::Status>> Delete(std::string_view routing_key,
                                                   absl::Span<const EntrySelector> entries,
                                                   const CallOptions& options = {});

  // Each lease ends at whichever replica has it. NOT_FOUND: none has it; else how one failed that may have it.
  absl::StatusOr<std::vector<absl::Status>> Unpin(absl::Span<const Bytes16> pin_ids, const CallOptions& options = {});

  // Of every replica, by its name, asked all at once.
  std::map<std::string, absl::StatusOr<TrimResult>> Trim(const TrimRequest& request, const CallOptions& options = {});
  std::map<std::string, absl::StatusOr<Capabilities>> GetCapabilities(const CallOptions& options = {});
  std::map<std::string, absl::StatusOr<ServerStats>> GetStats(const CallOptions& options = {});
  // All entries of every replica, by its name.
  std::map<std::string, absl::StatusOr<std::vector<EntryInfo>>> List(
      const std::optional<Bytes32>& fingerprint = std::nullopt, const CallOptions& options = {});
  // The replicas there are now, and who is asked for a routing key, in order.
  std::vector<std::string> Replicas();
  std::vector<std::string> OrderOf(std::string_view routing_key);

 private:
  class ReplicaSet;
  template <typename Act>
  auto AtOwner(std::string_view routing_key, const CallTime& time, Act act,
               const std::function<bool()>& may_go_on = [] { return true; })
      -> decltype(act(std::shared_ptr<Client>(), CallOptions()));
  template <typename Act>
  auto Everywhere(const CallOptions& options, Act act)
      -> std::map<std::string, decltype(act(std::declval<Client&>(), std::declval<const CallTime&>()))>;
  explicit RoutedClient(std::unique_ptr<ReplicaSet> replicas);
  const std::unique_ptr<ReplicaSet> replicas_;
};

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_ROUTED_CLIENT_H_
