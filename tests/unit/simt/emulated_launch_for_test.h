#ifndef CHUNKKV_TESTS_UNIT_SIMT_EMULATED_LAUNCH_FOR_TEST_H_
#define CHUNKKV_TESTS_UNIT_SIMT_EMULATED_LAUNCH_FOR_TEST_H_

#include <utility>
#include <vector>

#include "kernels/simt/emulation/grid.h"

namespace chunkkv::testing {

template <typename Kernel>
void LaunchForTest(const typename Kernel::Params& params, int blocks) {
  const simt::emulation::GridShape shape = {blocks, Kernel::kThreads, Kernel::SharedBytes(params)};
  simt::emulation::RunGrid(shape, /*seed=*/1, [&params] { Kernel::Run(params); });
}

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(std::vector<T> values) : values_(std::move(values)) {}
  T* data() { return values_.data(); }
  std::vector<T> Values() const { return values_; }

 private:
  std::vector<T> values_;
};

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_SIMT_EMULATED_LAUNCH_FOR_TEST_H_
