// Compaction of tensors in host memory with the help of a device.
#ifndef CHUNKKV_KERNELS_STAGING_H_
#define CHUNKKV_KERNELS_STAGING_H_

#include <memory>

#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/device_memory.h"

namespace chunkkv {

// A Compactor of host memory, named "staged". Scores by queries are computed on the device: keys go there through
// pinned memory, one layer's while the layer before is scored. Everything else stays on the host: a gather there reads
// the kept rows alone, and selecting reads scores that the host needs anyway. Where the device fails, or its memory
// runs out, the host scores; after a failure other than that, always. Thread-safe: each Enqueue takes one of two lanes
// (two layers' memory each), and waits where both are taken. Lanes grow to the largest layer seen and then allocate
// nothing. `device` and `memory` are of one device.
std::unique_ptr<Compactor> MakeStagingCompactor(std::unique_ptr<Compactor> device, std::unique_ptr<DeviceMemory> memory,
                                                std::unique_ptr<Compactor> host);

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_STAGING_H_
