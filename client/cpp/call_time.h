// The time that one call has, however many replicas it asks.
#ifndef CHUNKKV_CLIENT_CPP_CALL_TIME_H_
#define CHUNKKV_CLIENT_CPP_CALL_TIME_H_

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <utility>

#include "chunkkv/client/types.h"

namespace chunkkv::client {

// Of a call that begins now.
class CallTime {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  CallTime(CallOptions options, Clock now) : options_(std::move(options)), now_(std::move(now)), begin_(now_()) {}

  std::chrono::milliseconds elapsed() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(now_() - begin_);
  }
  // Unset: no end.
  std::optional<std::chrono::milliseconds> left() const {
    if (options_.timeout.count() <= 0) return std::nullopt;
    return std::max(std::chrono::milliseconds(0), options_.timeout - elapsed());
  }
  bool is_over() const { return left() == std::chrono::milliseconds(0); }
  bool is_cancelled() const { return options_.cancellation && options_.cancellation->IsCancelled(); }
  const std::optional<Cancellation>& cancellation() const { return options_.cancellation; }
  // Those of the next replica.
  CallOptions options() const {
    CallOptions options = options_;
    if (const auto rest = left()) options.timeout = std::max(std::chrono::milliseconds(1), *rest);
    return options;
  }

 private:
  const CallOptions options_;
  const Clock now_;
  const std::chrono::steady_clock::time_point begin_;
};

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_CALL_TIME_H_
