#include "tests/bench/gpu/device_timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/bench/gpu/device_work.h"

namespace chunkkv::bench {
namespace {

constexpr double kShortestMs = 1.0;  // what is timed at once
constexpr int kMostRuns = 64;        // a stream takes about a thousand launches before the host waits for it
constexpr int kLeastRepeats = 7;
constexpr int kMostRepeats = 50;
constexpr double kMostHoldMs = 20;

double NowMs() {
  using Milliseconds = std::chrono::duration<double, std::milli>;
  return std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Stopwatch {
 public:
  Stopwatch(void* stream, const std::function<void(int)>& start) : stream_(stream), start_(start) {}

  // Of one of `runs` runs at once.
  double RunMs(int runs) {
    Hold(std::min(kMostHoldMs, 0.2 + 1.5 * runs * start_ms_), stream_);
    begin_.Record(stream_);
    const double before = NowMs();
    for (int i = 0; i < runs; ++i) start_(next_++);
    start_ms_ = (NowMs() - before) / runs;
    end_.Record(stream_);
    return Event::MillisecondsBetween(begin_, end_) / runs;
  }
  double start_ms() const { return start_ms_; }

 private:
  void* stream_;
  const std::function<void(int)>& start_;
  Event begin_, end_;
  int next_ = 0;
  double start_ms_ = 0;
};

}  // namespace

DeviceTiming TimeOnStream(void* stream, double seconds, const std::function<void(int)>& start) {
  Stopwatch stopwatch(stream, start);
  stopwatch.RunMs(1);
  stopwatch.RunMs(1);
  const double first = std::max(1e-3, stopwatch.RunMs(1));
  const int runs = std::clamp(static_cast<int>(std::lround(kShortestMs / first)), 1, kMostRuns);
  if (runs > 1) stopwatch.RunMs(runs);
  const double deadline = NowMs() + 1e3 * seconds;
  std::vector<double> times;
  while (times.size() < kLeastRepeats || (times.size() < kMostRepeats && NowMs() < deadline)) {
    times.push_back(stopwatch.RunMs(runs));
  }
  std::sort(times.begin(), times.end());
  const size_t count = times.size();
  DeviceTiming timing;
  timing.median_ms = count % 2 == 1 ? times[count / 2] : (times[count / 2 - 1] + times[count / 2]) / 2;
  timing.spread = (times[count * 3 / 4] - times[count / 4]) / timing.median_ms;
  timing.repeats = static_cast<int>(count);
  timing.start_ms = stopwatch.start_ms();
  return timing;
}

void PrintLine(const LineFields& fields, const DeviceTiming& timing) {
  nlohmann::ordered_json line = {{"bench", fields.bench},
                                 {"name", fields.name},
                                 {"median_ms", timing.median_ms},
                                 {"spread", timing.spread},
                                 {"repeats", timing.repeats}};
  if (fields.bytes.has_value()) line["bytes"] = *fields.bytes;
  if (fields.scratch_bytes.has_value()) line["scratch_bytes"] = *fields.scratch_bytes;
  if (!fields.peer.empty()) line["peer"] = fields.peer;
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
  std::fprintf(stderr, "%s%s%s: %.4f ms, spread %.1f %%, %d repeats, started in %.4f ms", fields.name.c_str(),
               fields.peer.empty() ? "" : " by ", fields.peer.c_str(), timing.median_ms, 100 * timing.spread,
               timing.repeats, timing.start_ms);
  if (fields.bytes.has_value()) {
    std::fprintf(stderr, ", %.0f GB/s", static_cast<double>(*fields.bytes) / timing.median_ms / 1e6);
  }
  std::fprintf(stderr, "\n");
}

}  // namespace chunkkv::bench
