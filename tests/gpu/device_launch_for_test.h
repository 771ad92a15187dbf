// launch_for_test.h on a GPU. A failure of the device ends the program, since nothing after it can be believed.
#ifndef CHUNKKV_TESTS_GPU_DEVICE_LAUNCH_FOR_TEST_H_
#define CHUNKKV_TESTS_GPU_DEVICE_LAUNCH_FOR_TEST_H_

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace chunkkv::testing {

inline void ExpectCuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  std::abort();
}

template <typename Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, Kernel::kMinBlocksPerSm)
    TestEntry(const __grid_constant__ typename Kernel::Params params) {
  Kernel::Run(params);
}

template <typename Kernel>
void LaunchForTest(const typename Kernel::Params& params, int blocks) {
  TestEntry<Kernel><<<blocks, Kernel::kThreads, Kernel::SharedBytes(params)>>>(params);
  ExpectCuda(cudaGetLastError(), "launch");
  ExpectCuda(cudaDeviceSynchronize(), "kernel");
}

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values) : count_(values.size()) {
    ExpectCuda(cudaMalloc(&data_, count_ * sizeof(T)), "cudaMalloc");
    ExpectCuda(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice), "copy to the device");
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() { return data_; }
  std::vector<T> Values() const {
    std::vector<T> values(count_);
    ExpectCuda(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), "copy from the device");
    return values;
  }

 private:
  T* data_ = nullptr;
  size_t count_;
};

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_GPU_DEVICE_LAUNCH_FOR_TEST_H_
