#include "service/store/event_log.h"

#include <algorithm>
#include <utility>

namespace chunkkv {

void EventLog::Append(StoreEvent event, int64_t card_bytes) {
  event.sequence = ++last_sequence_;
  events_.push_back({std::move(event), card_bytes});
  bytes_ += card_bytes;
  while (events_.size() > max_events_ || (bytes_ > max_bytes_ && !events_.empty())) {
    bytes_ -= events_.front().card_bytes;
    events_.pop_front();
  }
}

std::vector<StoreEvent> EventLog::After(int64_t sequence, size_t limit, int64_t* last_sequence, bool* gap) const {
  std::vector<StoreEvent> events;
  const int64_t before_first = last_sequence_ - static_cast<int64_t>(events_.size());
  *gap = sequence < before_first || sequence > last_sequence_;
  *last_sequence = sequence;
  if (*gap) return events;
  const auto begin = static_cast<size_t>(sequence - before_first);
  const size_t end = begin + std::min(limit, events_.size() - begin);
  for (size_t i = begin; i < end; ++i) events.push_back(events_[i].event);
  *last_sequence = sequence + static_cast<int64_t>(events.size());
  return events;
}

}  // namespace chunkkv
