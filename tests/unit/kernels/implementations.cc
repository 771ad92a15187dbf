#include "tests/unit/kernels/implementations.h"

#include <hwy/highway.h>

#include "chunkkv/kernels/staging.h"
#include "kernels/cuda/cuda_compactor.h"
#include "kernels/cuda/emulated_launcher.h"
#include "tests/support/host_device_memory.h"
#include "tests/unit/kernels/staged_compactor.h"

namespace chunkkv::testing {

std::vector<std::string> HostImplementationNames() {
#if HWY_ARCH_X86
  return {"reference", "cpu", "cpu_sse4", "cpu_baseline"};
#else
  return {"reference", "cpu", "cpu_baseline"};
#endif
}

std::vector<std::string> ImplementationNames() {
  std::vector<std::string> names = HostImplementationNames();
#ifndef __SANITIZE_THREAD__  // one thread emulates all of a GPU's, and is thirty times slower then
  names.push_back("cuda_emulated");
  names.push_back("staged_emulated");
#endif
  return names;
}

void PerImplementation::SetUp() {
  // Highway's targets are bits, better ones lower; the highest that is supported is in every build.
  int64_t targets = hwy::SupportedTargets();
  if (GetParam() == "cpu_sse4") targets &= -int64_t{HWY_SSE4};
  while (GetParam() == "cpu_baseline" && (targets & (targets - 1)) != 0) targets &= targets - 1;
  hwy::SetSupportedTargetsForTest(targets);
  hwy::GetChosenTarget().Update(targets);
  if (GetParam() == "reference") {
    compactor_ = MakeReferenceCompactor();
  } else if (GetParam() == "staged_emulated") {
    compactor_ = MakeStagingCompactor(cuda::MakeCompactor(cuda::MakeEmulatedLauncher()),
                                      std::make_unique<HostDeviceMemory>(), MakeCpuCompactor());
  } else if (GetParam() == "cuda_emulated") {
    compactor_ =
        MakeStagedCompactor(cuda::MakeCompactor(cuda::MakeEmulatedLauncher()), std::make_unique<HostDeviceMemory>());
  } else {
    compactor_ = MakeCpuCompactor();
  }
}

void PerImplementation::TearDown() {
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

std::string ImplementationTestName(const ::testing::TestParamInfo<std::string>& info) { return info.param; }

}  // namespace chunkkv::testing
