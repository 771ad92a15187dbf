// The replicas of a RoutedClient: who there is, who failed lately, and a client of each.
#ifndef CHUNKKV_CLIENT_CPP_REPLICA_SET_H_
#define CHUNKKV_CLIENT_CPP_REPLICA_SET_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/client/routed_client.h"
#include "client/cpp/call_time.h"
#include "client/cpp/followed_name.h"
#include "client/cpp/stand_back.h"
#include "service/base/mutex.h"

namespace chunkkv::client {

// Thread-safe. A replica that is no longer named is closed when the last call that holds its client ends.
class RoutedClient::ReplicaSet {
 public:
  ReplicaSet(const std::vector<std::string>& addresses, RoutedOptions options);

  // Of a call that begins now.
  CallTime TimeOf(const CallOptions& options) const { return CallTime(options, options_.now); }
  // Waits for names that were never resolved, and takes over what names have now.
  void Refresh(const CallTime& time);
  // Waits a moment for the resolutions that run or are due: for a call that all replicas have failed.
  void AwaitNews(const CallTime& time) const;
  std::vector<std::string> Names() const;
  // The owner first; those that stand back last.
  std::vector<std::string> Order(std::string_view routing_key) const;
  // Null where there is none of the name any more.
  absl::StatusOr<std::shared_ptr<Client>> ClientOf(const std::string& name);
  void NoteFailure(const std::string& name);
  void NoteAnswer(const std::string& name);
  // What a call fails with that finds no replica.
  absl::Status Nobody() const;

 private:
  struct Replica {
    std::shared_ptr<Client> client;
    StandBack stand_back;
  };
  void SetNames(const std::vector<std::string>& names) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const RoutedOptions options_;
  std::vector<std::string> fixed_;  // addresses
  mutable Mutex mutex_;
  std::map<std::string, Replica> replicas_ ABSL_GUARDED_BY(mutex_);
  std::vector<FollowedName::Addresses> found_ ABSL_GUARDED_BY(mutex_);  // of the names, as last taken over
  std::vector<std::unique_ptr<FollowedName>> dns_names_;
};

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_REPLICA_SET_H_
