// How fast gets have been lately, for guesses of how long the next one takes.
#ifndef CHUNKKV_SERVICE_RPC_LOAD_RATE_H_
#define CHUNKKV_SERVICE_RPC_LOAD_RATE_H_

#include <atomic>
#include <cstdint>

namespace chunkkv::rpc {

// Exponential average over whole gets. Thread-safe; of two gets that end together one may not count.
class LoadRate {
 public:
  void Record(int64_t bytes, double seconds) {
    if (bytes < kLeastBytes || seconds <= 0) return;
    const double before = bytes_per_second_.load(std::memory_order_relaxed);
    const double now = static_cast<double>(bytes) / seconds;
    bytes_per_second_.store(before + kWeight * (now - before), std::memory_order_relaxed);
  }
  double ExpectedMs(int64_t bytes) const {
    return 1e3 * static_cast<double>(bytes) / bytes_per_second_.load(std::memory_order_relaxed);
  }

 private:
  static constexpr int64_t kLeastBytes = 1 << 20;  // smaller gets tell of latency, not of throughput
  static constexpr double kWeight = 0.2;
  std::atomic<double> bytes_per_second_{1e9};  // until the first get
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_LOAD_RATE_H_
