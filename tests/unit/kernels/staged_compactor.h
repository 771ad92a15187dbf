#ifndef CHUNKKV_TESTS_UNIT_KERNELS_STAGED_COMPACTOR_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_STAGED_COMPACTOR_H_

#include <memory>

#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/device_memory.h"

namespace chunkkv::testing {

// A device implementation behind views of the host: moves everything that a batch names to the device's `memory`,
// waits, and moves what the batch writes back. Addresses on the device are aligned as the elements are, wherever they
// lie on the host.
std::unique_ptr<Compactor> MakeStagedCompactor(std::unique_ptr<Compactor> device, std::unique_ptr<DeviceMemory> memory);

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_KERNELS_STAGED_COMPACTOR_H_
