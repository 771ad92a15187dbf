// A stream of a device, and marks in it: how code on the host learns, without waiting, how far the device has come.
//
// A CUDA device has the one real implementation; tests have one on the host.
#ifndef CHUNKKV_KERNELS_DEVICE_STREAM_H_
#define CHUNKKV_KERNELS_DEVICE_STREAM_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace chunkkv {

// Of one thread at a time. Errors of all: INTERNAL CUDA_ERROR.
class DeviceStream {
 public:
  using Mark = int64_t;

  // Waits for nothing: what was started goes on.
  virtual ~DeviceStream() = default;

  // The stream's device becomes the calling thread's current one, and stays it.
  virtual absl::Status MakeCurrent() = 0;

  // As ExecutionContext::stream.
  virtual void* handle() const = 0;

  // Behind everything started on the stream so far.
  virtual absl::StatusOr<Mark> SetMark() = 0;

  // Whether everything before `mark` is done. Waits for nothing.
  virtual absl::StatusOr<bool> HasPassed(Mark mark) = 0;
};

// A stream of its own. Only in builds with CHUNKKV_HAS_CUDA.
absl::StatusOr<std::unique_ptr<DeviceStream>> MakeCudaStream(int device);

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_DEVICE_STREAM_H_
