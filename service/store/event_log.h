// What happened to one tenant's entries, for watchers that continue where they were. A log of its own for each tenant:
// its numbers say nothing of what others do. Not thread-safe: the store locks.
#ifndef CHUNKKV_SERVICE_STORE_EVENT_LOG_H_
#define CHUNKKV_SERVICE_STORE_EVENT_LOG_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "service/store/entry_store.h"

namespace chunkkv {

class EventLog {
 public:
  // Keeps the last `max_events`, fewer where their headers take more than `max_bytes`. Numbers go on from
  // `first_sequence`, which must be beyond any that an earlier life of the server can have given out.
  EventLog(size_t max_events, int64_t max_bytes, int64_t first_sequence)
      : max_events_(max_events), max_bytes_(max_bytes), last_sequence_(first_sequence) {}

  // `card_bytes` is about what the card takes.
  void Append(StoreEvent event, int64_t card_bytes);
  // As EntryStore::EventsAfter.
  std::vector<StoreEvent> After(int64_t sequence, size_t limit, int64_t* last_sequence, bool* gap) const;
  int64_t last_sequence() const { return last_sequence_; }

 private:
  struct Kept {
    StoreEvent event;
    int64_t card_bytes;
  };
  const size_t max_events_;
  const int64_t max_bytes_;
  std::deque<Kept> events_;  // of consecutive numbers, the last being last_sequence_
  int64_t bytes_ = 0;
  int64_t last_sequence_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_EVENT_LOG_H_
