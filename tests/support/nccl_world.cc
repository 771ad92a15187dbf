#include "tests/support/nccl_world.h"

#include "tests/support/host_device_memory.h"

namespace chunkkv {
namespace {

// One call at a time.
class LockedNccl final : public NcclLibrary {
 public:
  LockedNccl(FakeNccl& nccl, Mutex& mutex) : nccl_(nccl), mutex_(mutex) {}

  int version() const override { return nccl_.version(); }
  absl::StatusOr<NcclUniqueId> MakeUniqueId() override {
    MutexLock lock(mutex_);
    return nccl_.MakeUniqueId();
  }
  absl::StatusOr<Comm> Begin(const NcclUniqueId& id, int rank, int rank_count) override {
    MutexLock lock(mutex_);
    return nccl_.Begin(id, rank, rank_count);
  }
  absl::StatusOr<Progress> Poll(Comm comm) override {
    MutexLock lock(mutex_);
    return nccl_.Poll(comm);
  }
  absl::Status Send(Comm comm, int peer, const void* memory, size_t size_bytes, void* stream) override {
    MutexLock lock(mutex_);
    return nccl_.Send(comm, peer, memory, size_bytes, stream);
  }
  absl::Status Receive(Comm comm, int peer, void* memory, size_t size_bytes, void* stream) override {
    MutexLock lock(mutex_);
    return nccl_.Receive(comm, peer, memory, size_bytes, stream);
  }
  absl::Status Finalize(Comm comm) override {
    MutexLock lock(mutex_);
    return nccl_.Finalize(comm);
  }
  absl::Status Destroy(Comm comm) override {
    MutexLock lock(mutex_);
    return nccl_.Destroy(comm);
  }
  absl::Status Abort(Comm comm) override {
    MutexLock lock(mutex_);
    return nccl_.Abort(comm);
  }

 private:
  FakeNccl& nccl_;
  Mutex& mutex_;
};

}  // namespace

ChannelGround NcclWorld::Ground() {
  ChannelGround ground;
  ground.library = Library();
  ground.memory = std::make_unique<HostDeviceMemory>();
  ground.make_stream = [this] { return std::make_unique<FakeStream>(device_); };
  return ground;
}

std::unique_ptr<NcclLibrary> NcclWorld::Library() { return std::make_unique<LockedNccl>(nccl_, mutex_); }

void NcclWorld::Change(const std::function<void(FakeNccl& nccl)>& change) {
  MutexLock lock(mutex_);
  change(nccl_);
}

}  // namespace chunkkv
