#include "tests/bench/kernels/measure.h"

#include <time.h>

#include <algorithm>

namespace chunkkv::bench {
namespace {

double Now(Clock clock) {
  timespec now{};
  clock_gettime(clock == Clock::kThread ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace

std::vector<Timing> TimeInTurn(Clock clock, const std::vector<std::function<void()>>& bodies, int rounds) {
  std::vector<std::vector<double>> seconds(bodies.size());
  for (int round = -1; round < rounds; ++round) {
    for (size_t i = 0; i < bodies.size(); ++i) {
      const double start = Now(clock);
      bodies[i]();
      if (round >= 0) seconds[i].push_back(Now(clock) - start);
    }
  }
  std::vector<Timing> timings;
  for (std::vector<double>& runs : seconds) {
    std::sort(runs.begin(), runs.end());
    const double median = runs[runs.size() / 2];
    timings.push_back({median, (runs[runs.size() * 3 / 4] - runs[runs.size() / 4]) / median});
  }
  return timings;
}

const char* SpreadMark(const Timing& timing) { return timing.IsSteady() ? "" : "  SPREAD > 10 %"; }

}  // namespace chunkkv::bench
