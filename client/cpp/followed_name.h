// A DNS name, followed: its addresses, asked for in a thread of its own, so that no call waits for a slow resolver.
#ifndef CHUNKKV_CLIENT_CPP_FOLLOWED_NAME_H_
#define CHUNKKV_CLIENT_CPP_FOLLOWED_NAME_H_

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/client/cancellation.h"
#include "chunkkv/client/routed_client.h"

namespace chunkkv::client {

// Thread-safe. Asks when its answer is old.
class FollowedName {
 public:
  using Addresses = std::shared_ptr<const std::vector<std::string>>;
  using Time = std::chrono::steady_clock::time_point;

  FollowedName(std::string name, const RoutedOptions& options);
  // Leaves a resolver behind that has not returned after half a second.
  ~FollowedName();
  FollowedName(const FollowedName&) = delete;
  FollowedName& operator=(const FollowedName&) = delete;

  // As last found, another object each time they were: a resolution that fails leaves them.
  Addresses addresses() const;
  // Why there are none; empty where there are.
  std::string failure() const;
  // Has them asked for where they are old.
  void Refresh();
  // An address failed: the name is to be asked again soon.
  void Doubt();
  // Return at `until`, on cancellation, or when the first resolution has ended; or the one that runs or is due: at once
  // where neither is.
  void AwaitFirst(Time until, const std::optional<Cancellation>& cancellation) const;
  void AwaitNext(Time until, const std::optional<Cancellation>& cancellation) const;

 private:
  class State;
  const std::shared_ptr<State> state_;  // also the thread's
  std::thread thread_;
};

// All addresses of "host:port", from the system's resolver. Errors: UNAVAILABLE (NAME_NOT_RESOLVED).
absl::StatusOr<std::vector<std::string>> ResolveWithSystem(const std::string& name);

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_FOLLOWED_NAME_H_
