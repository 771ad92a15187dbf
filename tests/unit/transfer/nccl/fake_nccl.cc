#include "tests/unit/transfer/nccl/fake_nccl.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "service/base/status_macros.h"

namespace chunkkv {

FakeNccl::~FakeNccl() { EXPECT_EQ(comms_.size(), 0u) << "communicators that nobody ended"; }

int FakeNccl::Count(const std::string& call) const {
  return static_cast<int>(std::count(calls_.begin(), calls_.end(), call));
}

bool FakeNccl::Touches(const void* memory) const {
  if (device_.is_broken) return false;  // nothing runs any more
  const auto touches = [memory](const Operation& operation) { return operation.memory == memory; };
  if (std::any_of(stuck_.begin(), stuck_.end(), touches)) return true;
  return std::any_of(comms_.begin(), comms_.end(), [&](const auto& entry) {
    const Rank& rank = *entry.second;
    return (rank.issued.has_value() && touches(*rank.issued)) ||
           std::any_of(rank.started.begin(), rank.started.end(), touches);
  });
}

absl::Status FakeNccl::TakeFailure(Call call, const Rank* rank) {
  if (rank != nullptr && rank->rank != 0) return absl::OkStatus();
  const auto found = failures_.find(call);
  if (found == failures_.end()) return absl::OkStatus();
  absl::Status status = std::move(found->second);
  failures_.erase(found);
  return status;
}

absl::StatusOr<NcclUniqueId> FakeNccl::MakeUniqueId() {
  CHUNKKV_RETURN_IF_ERROR(TakeFailure(Call::kMakeUniqueId, nullptr));
  NcclUniqueId id{};
  id[0] = ++last_id_;
  return id;
}

absl::StatusOr<FakeNccl::Comm> FakeNccl::Begin(const NcclUniqueId& id, int rank, int rank_count) {
  EXPECT_EQ(rank_count, 2);
  auto made = std::make_unique<Rank>();
  made->id = id;
  made->rank = rank;
  CHUNKKV_RETURN_IF_ERROR(TakeFailure(Call::kBegin, made.get()));
  for (auto& [comm, other] : comms_) {
    if (other->id != id || other->rank == rank) continue;
    made->peer = other.get();
    other->peer = made.get();
  }
  const Comm comm = made.get();
  Note(*made, "begin");
  comms_.emplace(comm, std::move(made));
  return comm;
}

bool FakeNccl::IsInProgress(const Rank& rank) const {
  if (rank.peer == nullptr && !rank.peer_is_gone) return true;  // the other rank has not come
  return rank.issued.has_value() || (rank.is_finalized && finalizing_is_held_);
}

absl::StatusOr<FakeNccl::Progress> FakeNccl::Poll(Comm comm) {
  Rank& rank = RankOf(comm);
  CHUNKKV_RETURN_IF_ERROR(TakeFailure(Call::kPoll, &rank));
  if (rank.peer_is_gone && tells_of_lost_peers_ && !rank.is_finalized) {
    return ErrorStatus(absl::StatusCode::kUnavailable, "PEER_LOST", "socket closed by remote peer");
  }
  if (rank.issued.has_value() && !issuing_is_held_) {
    rank.stream->Start(rank.issued->is_done);
    rank.started.push_back(*std::exchange(rank.issued, std::nullopt));
    Settle(rank);
  }
  return IsInProgress(rank) ? Progress::kInProgress : Progress::kDone;
}

void FakeNccl::Settle(Rank& rank) {
  if (rank.peer == nullptr) return;
  while (!rank.started.empty() && !rank.peer->started.empty()) {
    Operation& own = rank.started.front();
    Operation& other = rank.peer->started.front();
    EXPECT_NE(own.is_send, other.is_send) << "both ranks send, or both receive";
    EXPECT_EQ(own.size_bytes, other.size_bytes);
    const Operation& send = own.is_send ? own : other;
    std::memcpy((own.is_send ? other : own).memory, send.memory, send.size_bytes);
    *own.is_done = *other.is_done = true;
    rank.started.pop_front();
    rank.peer->started.pop_front();
  }
}

absl::Status FakeNccl::Issue(Call call, Comm comm, Operation operation, void* stream) {
  Rank& rank = RankOf(comm);
  EXPECT_FALSE(IsInProgress(rank)) << "the communicator is not ready";
  CHUNKKV_RETURN_IF_ERROR(TakeFailure(call, &rank));
  Note(rank, operation.is_send ? "send" : "receive");
  rank.stream = static_cast<FakeStream*>(stream);
  rank.issued = std::move(operation);
  return absl::OkStatus();
}

absl::Status FakeNccl::Send(Comm comm, int peer, const void* memory, size_t size_bytes, void* stream) {
  EXPECT_EQ(peer, 1 - RankOf(comm).rank);
  Operation operation;
  operation.is_send = true;
  operation.memory = static_cast<std::byte*>(const_cast<void*>(memory));
  operation.size_bytes = size_bytes;
  return Issue(Call::kSend, comm, std::move(operation), stream);
}

absl::Status FakeNccl::Receive(Comm comm, int peer, void* memory, size_t size_bytes, void* stream) {
  EXPECT_EQ(peer, 1 - RankOf(comm).rank);
  Operation operation;
  operation.memory = static_cast<std::byte*>(memory);
  operation.size_bytes = size_bytes;
  return Issue(Call::kReceive, comm, std::move(operation), stream);
}

absl::Status FakeNccl::Finalize(Comm comm) {
  Rank& rank = RankOf(comm);
  EXPECT_FALSE(IsInProgress(rank)) << "the communicator is not ready";
  EXPECT_TRUE(rank.started.empty()) << "finalized with operations under way";
  CHUNKKV_RETURN_IF_ERROR(TakeFailure(Call::kFinalize, &rank));
  Note(rank, "finalize");
  rank.is_finalized = true;
  return absl::OkStatus();
}

absl::Status FakeNccl::Destroy(Comm comm) {
  Rank& rank = RankOf(comm);
  EXPECT_TRUE(rank.is_finalized && !IsInProgress(rank)) << "destroyed before it was finalized";
  Note(rank, "destroy");
  absl::Status status = TakeFailure(Call::kDestroy, &rank);
  Remove(rank);
  return status;
}

absl::Status FakeNccl::Abort(Comm comm) {
  Rank& rank = RankOf(comm);
  Note(rank, "abort");
  absl::Status status = TakeFailure(Call::kAbort, &rank);
  for (Operation& operation : rank.started) {
    if (device_.is_stuck) {
      stuck_.push_back(operation);
    } else {
      *operation.is_done = true;
    }
  }
  Remove(rank);
  return status;
}

void FakeNccl::Note(const Rank& rank, const char* call) {
  if (rank.rank == 0) calls_.emplace_back(call);
}

FakeNccl::Rank& FakeNccl::RankOf(Comm comm) {
  const auto found = comms_.find(comm);
  if (found == comms_.end()) {
    std::fprintf(stderr, "a call of a communicator that has ended\n");
    std::abort();
  }
  return *found->second;
}

void FakeNccl::Remove(Rank& rank) {
  if (rank.peer != nullptr) {
    rank.peer->peer = nullptr;
    rank.peer->peer_is_gone = true;
  }
  comms_.erase(&rank);
}

}  // namespace chunkkv
