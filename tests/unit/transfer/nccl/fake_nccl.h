#ifndef CHUNKKV_TESTS_UNIT_TRANSFER_NCCL_FAKE_NCCL_H_
#define CHUNKKV_TESTS_UNIT_TRANSFER_NCCL_FAKE_NCCL_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "service/transfer/nccl/nccl_library.h"
#include "tests/unit/transfer/nccl/fake_stream.h"

namespace chunkkv {

// NCCL within one process: ranks with the same unique id find each other, and bytes move once both have asked for it.
// What breaks NCCL's rules is a test failure: calls of a communicator that is not ready, destroying without finalizing,
// communicators that nobody ended, bytes that move after a transfer ended.
class FakeNccl final : public NcclLibrary {
 public:
  enum class Call { kMakeUniqueId, kBegin, kPoll, kSend, kReceive, kFinalize, kDestroy, kAbort };

  explicit FakeNccl(FakeDevice& device) : device_(device) {}
  ~FakeNccl() override;

  // --- What goes wrong ---
  // The next such call of rank 0 fails.
  void FailNext(Call call, absl::Status status) { failures_[call] = std::move(status); }
  // Operations stay in progress, and on no stream, for as long as this is set; ends likewise.
  void HoldIssuing(bool hold) { issuing_is_held_ = hold; }
  void HoldFinalizing(bool hold) { finalizing_is_held_ = hold; }
  // Whether the other rank's end is told by Poll: over NVLink and shared memory it is not.
  void TellOfLostPeers(bool tell) { tells_of_lost_peers_ = tell; }

  // --- What happened ---
  // Of rank 0, in order: "begin", "send", "receive", "finalize", "destroy", "abort".
  const std::vector<std::string>& calls() const { return calls_; }
  int Count(const std::string& call) const;
  int live_comm_count() const { return static_cast<int>(comms_.size()); }
  // Whether an operation that has not ended may touch it.
  bool Touches(const void* memory) const;

  int version() const override { return 22707; }
  absl::StatusOr<NcclUniqueId> MakeUniqueId() override;
  absl::StatusOr<Comm> Begin(const NcclUniqueId& id, int rank, int rank_count) override;
  absl::StatusOr<Progress> Poll(Comm comm) override;
  absl::Status Send(Comm comm, int peer, const void* memory, size_t size_bytes, void* stream) override;
  absl::Status Receive(Comm comm, int peer, void* memory, size_t size_bytes, void* stream) override;
  absl::Status Finalize(Comm comm) override;
  absl::Status Destroy(Comm comm) override;
  absl::Status Abort(Comm comm) override;

 private:
  struct Operation {
    bool is_send = false;
    std::byte* memory = nullptr;
    size_t size_bytes = 0;
    std::shared_ptr<std::atomic<bool>> is_done = std::make_shared<std::atomic<bool>>(false);
  };
  struct Rank {
    NcclUniqueId id{};
    int rank = 0;
    Rank* peer = nullptr;
    bool peer_is_gone = false;
    bool is_finalized = false;
    // Asked for, not yet on the stream; then, in order, on it.
    std::optional<Operation> issued;
    FakeStream* stream = nullptr;
    std::deque<Operation> started;
  };

  absl::Status TakeFailure(Call call, const Rank* rank);
  absl::Status Issue(Call call, Comm comm, Operation operation, void* stream);
  bool IsInProgress(const Rank& rank) const;
  void Settle(Rank& rank);
  void Note(const Rank& rank, const char* call);
  Rank& RankOf(Comm comm);
  void Remove(Rank& rank);

  FakeDevice& device_;
  std::map<Call, absl::Status> failures_;
  bool issuing_is_held_ = false;
  bool finalizing_is_held_ = false;
  bool tells_of_lost_peers_ = true;
  uint8_t last_id_ = 0;
  std::map<Comm, std::unique_ptr<Rank>> comms_;
  std::deque<Operation> stuck_;  // of communicators that have ended
  std::vector<std::string> calls_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_UNIT_TRANSFER_NCCL_FAKE_NCCL_H_
