#ifndef CHUNKKV_TESTS_UNIT_TRANSFER_NCCL_FAKE_STREAM_H_
#define CHUNKKV_TESTS_UNIT_TRANSFER_NCCL_FAKE_STREAM_H_

#include <atomic>
#include <memory>
#include <vector>

#include "chunkkv/kernels/device_stream.h"
#include "chunkkv/kernels/status.h"

namespace chunkkv {

// What a device does with its streams, as far as a test says.
struct FakeDevice {
  bool is_broken = false;  // everything fails, as after a sticky error
  bool is_stuck = false;   // what was aborted does not end
  std::atomic<int> stream_count{0};

  absl::Status status() const {
    return is_broken ? ErrorStatus(absl::StatusCode::kInternal, "CUDA_ERROR", "sticky") : absl::OkStatus();
  }
};

// Operations are flags that whoever started them sets when they are done.
class FakeStream final : public DeviceStream {
 public:
  explicit FakeStream(FakeDevice& device) : device_(device) { ++device_.stream_count; }
  ~FakeStream() override { --device_.stream_count; }

  absl::Status MakeCurrent() override { return device_.status(); }
  void* handle() const override { return const_cast<FakeStream*>(this); }
  absl::StatusOr<Mark> SetMark() override {
    if (device_.is_broken) return device_.status();
    return static_cast<Mark>(operations_.size());
  }
  absl::StatusOr<bool> HasPassed(Mark mark) override {
    if (device_.is_broken) return device_.status();
    for (Mark i = 0; i < mark; ++i) {
      if (!*operations_[i]) return false;
    }
    return true;
  }

  void Start(std::shared_ptr<const std::atomic<bool>> is_done) { operations_.push_back(std::move(is_done)); }

 private:
  FakeDevice& device_;
  std::vector<std::shared_ptr<const std::atomic<bool>>> operations_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_UNIT_TRANSFER_NCCL_FAKE_STREAM_H_
