#ifndef CHUNKKV_TESTS_UNIT_KERNELS_TEST_MEMORY_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_TEST_MEMORY_H_

#include <memory>

#include "chunkkv/kernels/device_memory.h"

namespace chunkkv::testing {

// The device memory that this program tests: the host's, or a GPU's (tests/gpu).
std::unique_ptr<DeviceMemory> MakeTestMemory();

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_KERNELS_TEST_MEMORY_H_
