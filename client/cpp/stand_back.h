// How long a replica that fails comes after the others: longer with each failure, until it answers.
#ifndef CHUNKKV_CLIENT_CPP_STAND_BACK_H_
#define CHUNKKV_CLIENT_CPP_STAND_BACK_H_

#include <chrono>

#include "chunkkv/client/routed_client.h"

namespace chunkkv::client {

class StandBack {
 public:
  using Time = std::chrono::steady_clock::time_point;

  bool IsOver(Time now) const { return now >= until_; }
  // One counts while it stands back: calls fail together.
  void NoteFailure(Time now, const RoutedOptions& options);
  void NoteAnswer() { *this = StandBack(); }

 private:
  std::chrono::milliseconds interval_{0};
  Time until_ = Time::min();
};

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_STAND_BACK_H_
