// Which kernels a batch's time goes to.
#ifndef CHUNKKV_TESTS_BENCH_GPU_TIMED_LAUNCHER_H_
#define CHUNKKV_TESTS_BENCH_GPU_TIMED_LAUNCHER_H_

#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/launcher.h"
#include "tests/bench/gpu/device_work.h"

namespace chunkkv::bench {

// Events around each launch, in order. For one stream and one thread.
class LaunchTimes {
 public:
  template <typename Start>
  absl::Status Time(const char* kernel, const cuda::LaunchShape& shape, Start start) {
    Launch& launch = launches_.emplace_back(Launch{kernel, std::make_unique<Event>(), std::make_unique<Event>()});
    launch.begin->Record(shape.stream);
    absl::Status status = start();
    launch.end->Record(shape.stream);
    return status;
  }

  void Clear() { launches_.clear(); }
  // "score 0.120 ms (1 launch), ..." by kernel, of what was started since Clear and is done.
  std::string Summary() const;

 private:
  struct Launch {
    std::string kernel;
    std::unique_ptr<Event> begin, end;
  };
  std::vector<Launch> launches_;
};

// Kernels of `inner`, timed into `times`.
std::unique_ptr<cuda::Launcher> MakeTimedLauncher(std::unique_ptr<cuda::Launcher> inner, LaunchTimes& times);

}  // namespace chunkkv::bench

#endif  // CHUNKKV_TESTS_BENCH_GPU_TIMED_LAUNCHER_H_
