// Drives put sessions over a real store and executor, as a server would.
#ifndef CHUNKKV_TESTS_UNIT_SESSION_PUT_DRIVER_H_
#define CHUNKKV_TESTS_UNIT_SESSION_PUT_DRIVER_H_

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "service/base/executor.h"
#include "service/base/mutex.h"
#include "service/session/put_session.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/session/put_prompt.h"

namespace chunkkv {

// What a session says. Thread-safe.
class RecordingListener : public PutSession::Listener {
 public:
  struct Selection {
    std::vector<int32_t> positions;
    bool everything = false;
  };

  void OnSelection(int32_t group, absl::Span<const int32_t> positions, bool everything) override;
  void OnEnd(const absl::Status& status, const PutSummary& summary) override;

  // Blocks until the session has ended.
  absl::Status WaitForEnd();
  // Blocks until `group` is selected or the session has ended.
  std::optional<Selection> WaitForSelection(int32_t group);
  bool has_ended();
  PutSummary summary();
  int call_count_after_end();

 private:
  Mutex mutex_;
  CondVar changed_;
  std::map<int32_t, Selection> selections_;
  std::optional<absl::Status> end_;
  PutSummary summary_;
  int calls_after_end_ = 0;
};

class PutDriver {
 public:
  explicit PutDriver(int64_t budget_bytes = int64_t{64} << 20, const SessionLimits& limits = SessionLimits(),
                     std::unique_ptr<Compactor> compactor = MakeReferenceCompactor());
  ~PutDriver();

  // Begins a put and opens its first stream.
  absl::Status Begin(const PutRequest& request);
  // The whole prompt in order, over the first stream, in parts of at most `part_tokens` tokens; then commits and waits.
  absl::Status Put(const PutRequest& request, const Prompt& prompt, int64_t part_tokens = 1 << 20);

  // Each returns the first failure; the bytes of a part that may not come yet are held until it may.
  absl::Status SendPart(int32_t stream, const PartHeader& header, const Bytes& bytes);
  absl::Status SendRows(const Prompt& prompt, int32_t layer, size_t tensor, int64_t begin, int64_t end,
                        int32_t stream = 0);
  // Kept rows [begin, end) of a group's `positions`.
  absl::Status SendKeptRows(const Prompt& prompt, int32_t layer, size_t tensor, absl::Span<const int32_t> positions,
                            int64_t begin, int64_t end, int32_t stream = 0);
  absl::Status SendNamed(const Prompt& prompt, int32_t layer, int32_t stream = 0);
  absl::Status SendScores(const Prompt& prompt, int32_t layer, int32_t stream = 0);
  // Everything of one layer: scores, then rows in parts of `part_tokens`, or named tensors.
  absl::Status SendLayer(const Prompt& prompt, int32_t layer, int64_t part_tokens = 1 << 20, int32_t stream = 0);
  absl::Status CommitAndWait(const std::optional<Bytes16>& content_digest = std::nullopt);

  // Lets go of the session and of every task, so that the store can be looked at at rest.
  void Settle();

  PutSession& session() { return *session_; }
  std::shared_ptr<PutSession> shared_session() { return session_; }
  RecordingListener& listener() { return *listener_; }
  EntryStore& store() { return store_; }
  FakeClock& clock() { return clock_; }
  const PutRequest& request() const { return request_; }

 private:
  FakeClock clock_;
  EntryStore store_;
  const std::unique_ptr<Compactor> compactor_;
  const SessionLimits limits_;
  std::unique_ptr<Executor> executor_;
  PutRequest request_;
  std::unique_ptr<RecordingListener> listener_;
  std::shared_ptr<PutSession> session_;
};

// The header of a part of rows.
PartHeader RowsHeader(const PutRequest& request, int32_t layer, size_t tensor, int64_t begin, int64_t end);

// Fails the test unless `entry` holds exactly the rows of `prompt` at `kept` positions, its digests, and the rest of
// the prompt's tensors byte for byte.
void ExpectHolds(const EntryPtr& entry, const PutRequest& request, const Prompt& prompt,
                 const std::vector<std::vector<int32_t>>& positions);

// Digest over whole tensors, as a client computes it.
Bytes16 ContentDigestOf(const PutRequest& request, const Prompt& prompt);

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_UNIT_SESSION_PUT_DRIVER_H_
