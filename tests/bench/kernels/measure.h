// Repeated timings of things that are compared with each other.
#ifndef CHUNKKV_TESTS_BENCH_KERNELS_MEASURE_H_
#define CHUNKKV_TESTS_BENCH_KERNELS_MEASURE_H_

#include <functional>
#include <vector>

namespace chunkkv::bench {

struct Timing {
  double median_s = 0;
  double spread = 0;  // (third quartile - first quartile) / median
  bool IsSteady() const { return spread <= 0.10; }
};

// kThread: processor time of the calling thread, which other programs on the machine lengthen least; for bodies that
// start no threads. kWall: for those that do.
enum class Clock { kThread, kWall };

// Runs all of `bodies` once to warm up, then `rounds` times in turn, so that what disturbs one disturbs its neighbours.
std::vector<Timing> TimeInTurn(Clock clock, const std::vector<std::function<void()>>& bodies, int rounds);

// "  SPREAD > 10 %" where a timing is not steady: not to be reported. Else empty.
const char* SpreadMark(const Timing& timing);

}  // namespace chunkkv::bench

#endif  // CHUNKKV_TESTS_BENCH_KERNELS_MEASURE_H_
