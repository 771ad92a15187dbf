// Entries that are to be copied to the device, one after the other. Not thread-safe: the store locks.
#ifndef CHUNKKV_SERVICE_STORE_PROMOTION_QUEUE_H_
#define CHUNKKV_SERVICE_STORE_PROMOTION_QUEUE_H_

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "service/format/bytes.h"

namespace chunkkv {

class PromotionQueue {
 public:
  // True where somebody is to be sent to take from the queue: nobody attends to it. An entry that is in already, or
  // beyond what it holds, is dropped: its next read brings it again.
  bool Push(const Bytes16& entry_id) {
    if (is_closed_ || waiting_.size() >= kMaxWaiting || !is_in_.insert(entry_id).second) return false;
    waiting_.push_back(entry_id);
    return !std::exchange(is_attended_, true);
  }
  // The one that waited longest; empty where there is none, and nobody attends to the queue any more.
  std::optional<Bytes16> Take() {
    is_attended_ = !waiting_.empty();
    if (!is_attended_) return std::nullopt;
    const Bytes16 entry_id = waiting_.front();
    waiting_.pop_front();
    is_in_.erase(entry_id);
    return entry_id;
  }
  // Drops what waits, and all that will come.
  void Close() {
    is_closed_ = true;
    waiting_.clear();
    is_in_.clear();
  }
  bool is_attended() const { return is_attended_; }

 private:
  static constexpr size_t kMaxWaiting = 64;

  std::deque<Bytes16> waiting_;
  absl::flat_hash_set<Bytes16, FixedBytesHash> is_in_;
  bool is_attended_ = false;
  bool is_closed_ = false;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_PROMOTION_QUEUE_H_
