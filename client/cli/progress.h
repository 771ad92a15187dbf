// A progress bar on stderr: only on a terminal, only for what takes longer than a second.
#ifndef CHUNKKV_CLIENT_CLI_PROGRESS_H_
#define CHUNKKV_CLIENT_CLI_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <string>

namespace chunkkv::cli {

// Not thread-safe.
class Progress {
 public:
  // `total` in any unit; the bar shows shares.
  Progress(std::string label, int64_t total);
  ~Progress();  // wipes the bar
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void Set(int64_t done);

 private:
  using Clock = std::chrono::steady_clock;
  const std::string label_;
  const int64_t total_;
  const bool enabled_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point drawn_at_ = start_;
  bool is_drawn_ = false;
};

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_PROGRESS_H_
