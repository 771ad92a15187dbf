// The implementations that conformance runs against. One more joins by a line in implementations.cc.
#ifndef CHUNKKV_TESTS_UNIT_KERNELS_IMPLEMENTATIONS_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_IMPLEMENTATIONS_H_

#include <memory>
#include <string>
#include <vector>

#include "chunkkv/kernels/compactor.h"
#include "gtest/gtest.h"

namespace chunkkv::testing {

// "reference", "cpu" (the machine's best instruction set), "cpu_sse4", "cpu_baseline" (the least of the build),
// "cuda_emulated" (the GPU's kernels on the host), "staged_emulated" (the host with a GPU's help, likewise).
std::vector<std::string> ImplementationNames();
// Those that run on the caller's memory.
std::vector<std::string> HostImplementationNames();

// A test that runs once per implementation.
class PerImplementation : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override;
  void TearDown() override;

  const Compactor& compactor() const { return *compactor_; }

 private:
  std::unique_ptr<Compactor> compactor_;
};

std::string ImplementationTestName(const ::testing::TestParamInfo<std::string>& info);

}  // namespace chunkkv::testing

#define CHUNKKV_FOR_EACH_OF(names, suite)                                                            \
  INSTANTIATE_TEST_SUITE_P(Implementations, suite, ::testing::ValuesIn(::chunkkv::testing::names()), \
                           ::chunkkv::testing::ImplementationTestName)
#define CHUNKKV_FOR_EACH_IMPLEMENTATION(suite) CHUNKKV_FOR_EACH_OF(ImplementationNames, suite)
#define CHUNKKV_FOR_EACH_HOST_IMPLEMENTATION(suite) CHUNKKV_FOR_EACH_OF(HostImplementationNames, suite)

#endif  // CHUNKKV_TESTS_UNIT_KERNELS_IMPLEMENTATIONS_H_
