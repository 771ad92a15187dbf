#include "tests/support/host_device_memory.h"
#include "tests/unit/kernels/test_memory.h"

namespace chunkkv::testing {

std::unique_ptr<DeviceMemory> MakeTestMemory() { return std::make_unique<HostDeviceMemory>(); }

}  // namespace chunkkv::testing
