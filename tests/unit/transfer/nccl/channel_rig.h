#ifndef CHUNKKV_TESTS_UNIT_TRANSFER_NCCL_CHANNEL_RIG_H_
#define CHUNKKV_TESTS_UNIT_TRANSFER_NCCL_CHANNEL_RIG_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "service/transfer/nccl/channel_machine.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/transfer/nccl/fake_nccl.h"
#include "tests/unit/transfer/nccl/fake_stream.h"

namespace chunkkv {

using Bytes = std::vector<std::byte>;

inline Bytes Pattern(size_t size_bytes, int seed) {
  Bytes bytes(size_bytes);
  for (size_t i = 0; i < size_bytes; ++i) bytes[i] = static_cast<std::byte>(i * 7 + seed);
  return bytes;
}

// The client's rank, which does as told.
class FakePeer {
 public:
  FakePeer(FakeNccl& library, FakeDevice& device) : library_(library), stream_(device) {}
  ~FakePeer() { Die(); }

  void Join(const NcclUniqueId& id) { comm_ = library_.Begin(id, 1, 2).value(); }
  bool HasJoined() const { return comm_ != nullptr; }
  void Send(const Bytes& bytes) {
    library_.Send(comm_, 0, bytes.data(), bytes.size(), stream_.handle()).IgnoreError();
    library_.Poll(comm_).IgnoreError();
  }
  void Receive(Bytes& bytes) {
    library_.Receive(comm_, 0, bytes.data(), bytes.size(), stream_.handle()).IgnoreError();
    library_.Poll(comm_).IgnoreError();
  }
  absl::Status Look() { return library_.Poll(comm_).status(); }
  void Die() {
    if (comm_ != nullptr) library_.Abort(std::exchange(comm_, nullptr)).IgnoreError();
  }

 private:
  FakeNccl& library_;
  FakeStream stream_;
  NcclLibrary::Comm comm_ = nullptr;
};

// A transfer of a test, with what became of it.
struct Asked {
  explicit Asked(Bytes bytes) : memory(std::move(bytes)) {}

  Bytes memory;
  std::optional<int64_t> sequence;
  std::vector<absl::Status> ends;  // has one at the most, or the channel is wrong

  // "" while it goes on, "OK", or the reason.
  std::string outcome() const {
    if (ends.empty()) return "";
    return ends.front().ok() ? "OK" : StatusReason(ends.front());
  }
};

// The fakes that a channel stands on.
struct ChannelRig {
  FakeClock clock;
  FakeDevice device;
  FakeNccl library{device};
  ChannelTimeouts timeouts;
  FakePeer peer{library, device};
  std::deque<Asked> asked;
  NcclUniqueId unique_id = library.MakeUniqueId().value();

  StreamMaker MakeStreams() {
    return [this]() -> absl::StatusOr<std::unique_ptr<DeviceStream>> {
      if (device.is_broken) return device.status();
      return std::make_unique<FakeStream>(device);
    };
  }

  Asked& Ask(Bytes memory) { return asked.emplace_back(std::move(memory)); }

  ChannelTransfer MakeTransfer(ChannelTransfer::Direction direction, Asked& asked, bool peer_is_ready = true) {
    ChannelTransfer transfer;
    transfer.direction = direction;
    transfer.memory = asked.memory.data();
    transfer.size_bytes = static_cast<int64_t>(asked.memory.size());
    transfer.peer_is_ready = peer_is_ready;
    transfer.starting = [&asked](int64_t sequence) { asked.sequence = sequence; };
    transfer.done = [this, &asked](const absl::Status& status) {
      // Nothing may touch its memory from now on, unless it says so.
      if (StatusReason(status) != "DEVICE_STUCK" && library.Touches(asked.memory.data())) {
        asked.ends.push_back(absl::InternalError("ended, and its memory is still touched"));
      }
      asked.ends.push_back(status);
    };
    return transfer;
  }
};

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_UNIT_TRANSFER_NCCL_CHANNEL_RIG_H_
