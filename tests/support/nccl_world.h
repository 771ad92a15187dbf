// NCCL and a GPU within the test's process: what a server's channels stand on, and the other ranks of them.
#ifndef CHUNKKV_TESTS_SUPPORT_NCCL_WORLD_H_
#define CHUNKKV_TESTS_SUPPORT_NCCL_WORLD_H_

#include <functional>
#include <memory>

#include "service/base/mutex.h"
#include "service/transfer/nccl/channel_host.h"
#include "tests/unit/transfer/nccl/fake_nccl.h"
#include "tests/unit/transfer/nccl/fake_stream.h"

namespace chunkkv {

// Thread-safe. Must outlive what stands on it.
class NcclWorld {
 public:
  static constexpr int kVersion = 22707;

  ChannelGround Ground();
  std::unique_ptr<NcclLibrary> Library();
  // While no call of NCCL runs.
  void Change(const std::function<void(FakeNccl& nccl)>& change);
  FakeDevice& device() { return device_; }

 private:
  FakeDevice device_;
  Mutex mutex_;
  FakeNccl nccl_ ABSL_GUARDED_BY(mutex_){device_};
};

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_SUPPORT_NCCL_WORLD_H_
