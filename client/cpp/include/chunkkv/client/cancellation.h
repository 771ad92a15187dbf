// A switch that ends calls early.
#ifndef CHUNKKV_CLIENT_CANCELLATION_H_
#define CHUNKKV_CLIENT_CANCELLATION_H_

#include <functional>
#include <memory>

namespace chunkkv::client {

// Copies share one switch. Thread-safe. A call that was given one ends CANCELLED soon after Cancel, and calls that
// begin later end so at once.
class Cancellation {
 public:
  Cancellation();
  void Cancel();
  bool IsCancelled() const;

 private:
  friend class CancellationGuard;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CANCELLATION_H_
