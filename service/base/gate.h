// Counts who is inside; once closed, nobody comes in any more, and whoever asked learns when the last one has left.
#ifndef CHUNKKV_SERVICE_BASE_GATE_H_
#define CHUNKKV_SERVICE_BASE_GATE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "service/base/mutex.h"

namespace chunkkv {

// Thread-safe. Must be owned by a shared_ptr: passes keep it alive.
class Gate : public std::enable_shared_from_this<Gate> {
 public:
  // Leaves on destruction. Move-only; empty where the gate was closed.
  class Pass {
   public:
    Pass() = default;
    Pass(Pass&& other) noexcept = default;
    Pass& operator=(Pass&& other) noexcept;
    ~Pass() { Leave(); }
    explicit operator bool() const { return gate_ != nullptr; }

   private:
    friend class Gate;
    explicit Pass(std::shared_ptr<Gate> gate) : gate_(std::move(gate)) {}
    void Leave();
    std::shared_ptr<Gate> gate_;
  };

  Pass Enter();
  // May be called again. `quiet` runs once nobody is inside: in this call, or in the thread of the last one to leave,
  // without locks held.
  void Close(std::function<void()> quiet);
  // Looked at by work inside that would take long.
  bool is_closed() const { return closed_.load(std::memory_order_relaxed); }
  int64_t inside() const;

 private:
  void Leave();

  mutable Mutex mutex_;
  std::atomic<bool> closed_{false};
  int64_t inside_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::function<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_BASE_GATE_H_
