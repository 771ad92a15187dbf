// Conformance on a GPU: the kernels behind views of the host, and the host with their help.
#include "tests/unit/kernels/implementations.h"

#include <utility>

#include "chunkkv/kernels/cuda.h"
#include "chunkkv/kernels/staging.h"
#include "tests/unit/kernels/staged_compactor.h"

namespace chunkkv::testing {

std::vector<std::string> ImplementationNames() { return {"cuda", "staged"}; }

void PerImplementation::SetUp() {
  auto compactor = MakeCudaCompactor(0);
  auto memory = MakeCudaMemory(0);
  ASSERT_TRUE(compactor.ok() && memory.ok()) << compactor.status() << memory.status();
  if (GetParam() == "cuda") {
    compactor_ = MakeStagedCompactor(*std::move(compactor), *std::move(memory));
  } else {
    compactor_ = MakeStagingCompactor(*std::move(compactor), *std::move(memory), MakeCpuCompactor());
  }
}

void PerImplementation::TearDown() {}

std::string ImplementationTestName(const ::testing::TestParamInfo<std::string>& info) { return info.param; }

}  // namespace chunkkv::testing
