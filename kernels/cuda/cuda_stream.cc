#include <cuda_runtime_api.h>

#include <deque>
#include <vector>

#include "chunkkv/kernels/device_stream.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/current_device.h"

namespace chunkkv {
namespace {

using cuda::CudaStatus;

// A mark is an event; events that were passed are used again.
class CudaStream final : public DeviceStream {
 public:
  CudaStream(int device, cudaStream_t stream) : device_(device), stream_(stream) {}

  ~CudaStream() override {
    const cuda::CurrentDevice current(device_);
    for (const cudaEvent_t event : marks_) cudaEventDestroy(event);
    for (const cudaEvent_t event : unused_) cudaEventDestroy(event);
    cudaStreamDestroy(stream_);
  }

  absl::Status MakeCurrent() override { return CudaStatus(cudaSetDevice(device_)); }

  void* handle() const override { return stream_; }

  absl::StatusOr<Mark> SetMark() override {
    const cuda::CurrentDevice current(device_);
    if (absl::Status status = current.status(); !status.ok()) return status;
    if (unused_.empty()) {
      cudaEvent_t event = nullptr;
      const cudaError_t error = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
      if (error != cudaSuccess) return CudaStatus(error);
      unused_.push_back(event);
    }
    const cudaError_t error = cudaEventRecord(unused_.back(), stream_);
    if (error != cudaSuccess) return CudaStatus(error);
    marks_.push_back(unused_.back());
    unused_.pop_back();
    return passed_ + static_cast<Mark>(marks_.size());
  }

  absl::StatusOr<bool> HasPassed(Mark mark) override {
    while (passed_ < mark) {
      const cudaError_t error = cudaEventQuery(marks_.front());
      if (error == cudaErrorNotReady) {
        cudaGetLastError();  // not to be met by the next launch
        return false;
      }
      if (error != cudaSuccess) return CudaStatus(error);
      unused_.push_back(marks_.front());
      marks_.pop_front();
      ++passed_;
    }
    return true;
  }

 private:
  const int device_;
  const cudaStream_t stream_;
  Mark passed_ = 0;
  std::deque<cudaEvent_t> marks_;  // passed_ + 1, ...
  std::vector<cudaEvent_t> unused_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceStream>> MakeCudaStream(int device) {
  const cuda::CurrentDevice current(device);
  if (absl::Status status = current.status(); !status.ok()) return status;
  cudaStream_t stream = nullptr;
  const cudaError_t error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  if (error != cudaSuccess) return CudaStatus(error);
  return std::make_unique<CudaStream>(device, stream);
}

}  // namespace chunkkv
