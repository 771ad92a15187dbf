#include "chunkkv/kernels/cuda.h"
#include "tests/unit/kernels/test_memory.h"

namespace chunkkv::testing {

std::unique_ptr<DeviceMemory> MakeTestMemory() { return MakeCudaMemory(0).value(); }

}  // namespace chunkkv::testing
