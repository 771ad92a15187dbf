// How many streams are open, of how many; and whether new ones are taken at all.
#ifndef CHUNKKV_SERVICE_RPC_STREAM_SLOTS_H_
#define CHUNKKV_SERVICE_RPC_STREAM_SLOTS_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "service/base/fair_counts.h"
#include "service/base/mutex.h"

namespace chunkkv::rpc {

// kHold: owns channels, and works nothing itself.
enum class StreamKind : uint8_t { kPut, kGet, kWatch, kHold };

class StreamSlots;

// A place taken, given back on destruction. Move-only.
class StreamSlot {
 public:
  StreamSlot() = default;
  StreamSlot(StreamSlot&& other) noexcept { *this = std::move(other); }
  StreamSlot& operator=(StreamSlot&& other) noexcept;
  ~StreamSlot() { Release(); }
  void Release();

 private:
  friend class StreamSlots;
  StreamSlot(StreamSlots* slots, StreamKind kind, std::string tenant)
      : slots_(slots), kind_(kind), tenant_(std::move(tenant)) {}
  StreamSlots* slots_ = nullptr;
  StreamKind kind_ = StreamKind::kPut;
  std::string tenant_;
};

// Thread-safe. Must outlive its slots.
class StreamSlots {
 public:
  // `is_shared`: between tenants, as FairCounts does.
  explicit StreamSlots(int32_t max_streams, bool is_shared = false) : of_tenants_(max_streams, is_shared) {}

  // A put's stream is taken also while draining: it may attach to a session in progress, and no session begins then.
  // Errors: UNAVAILABLE (DRAINING), RESOURCE_EXHAUSTED (TOO_MANY_STREAMS; QUOTA_STREAMS: the tenant has `quota` of
  // them).
  absl::StatusOr<StreamSlot> Take(StreamKind kind, const std::string& tenant, std::optional<int64_t> quota);
  int64_t Count(StreamKind kind) const;

  // From now on nothing is taken; `stop` of every open watcher is called (puts and gets end by themselves).
  void Drain();
  bool draining() const;
  // UNAVAILABLE (DRAINING).
  static absl::Status Draining();
  // What to call, once, when draining begins; at once where it has begun.
  using StopId = uint64_t;
  StopId AddStop(std::function<void()> stop);
  void RemoveStop(StopId id);
  // False where streams were still open when `timeout` had passed; those that hold do not count.
  bool WaitUntilIdle(std::chrono::milliseconds timeout);
  // Returns when none is left of any kind.
  void WaitUntilNone();

 private:
  friend class StreamSlot;
  void Release(StreamKind kind, const std::string& tenant);
  int64_t Working() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return counts_[0] + counts_[1] + counts_[2]; }

  mutable Mutex mutex_;
  CondVar fewer_;
  int64_t counts_[4] ABSL_GUARDED_BY(mutex_) = {0, 0, 0, 0};
  FairCounts of_tenants_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  StopId last_stop_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<StopId, std::function<void()>> stops_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_STREAM_SLOTS_H_
