// One put in progress: takes parts in the declared order, compacts layers as they complete, commits one entry.
//
// Life: Create -> parts (any number of streams) -> Commit, or Abort at any moment. Everything it holds (staging,
// entry body, the announcement to waiters) is released when it ends. Thread-safe. No call blocks on compaction: work
// runs on the executor, results come through the listener (from executor threads, never under the session's lock).
#ifndef CHUNKKV_SERVICE_SESSION_PUT_SESSION_H_
#define CHUNKKV_SERVICE_SESSION_PUT_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/compactor.h"
#include "service/base/clock.h"
#include "service/base/executor.h"
#include "service/session/put_request.h"
#include "service/store/entry_store.h"
#include "service/transfer/region/region_part.h"

namespace chunkkv {

class ScoreRecorder;

struct SessionLimits {
  int32_t max_open_layers = 4;  // LAYER_MAJOR: staged layers beyond a reuse group's worth
  int64_t max_part_bytes = 2 << 20;
  int64_t max_positions = int64_t{1} << 24;  // kept positions of all groups together
  int64_t max_ttl_ms = int64_t{30} * 24 * 3'600'000;
  int64_t max_pin_ms = 3'600'000;
  int32_t max_streams = 64;        // open at once
  bool shareable_entries = false;  // bodies of memory that clients on this host can map
  int32_t max_sm_count = 0;        // ExecutionContext::max_sm_count
  LayoutLimits layout;
  // How long all open streams may wait for a layer that none of them can bring, before EndIfStalled ends the session.
  int64_t stall_ms = 1000;
};

struct PutSummary {
  EntryPtr entry;
  bool already_stored = false;
  std::optional<Lease> pin;
  int64_t received_bytes = 0;
  int64_t stored_bytes = 0;
  int64_t peak_staging_bytes = 0;  // rows held outside of the entry's body; score inputs do not count
  int64_t compaction_time_us = 0;  // scoring, choosing and gathering
};

class SessionCore;

class PutSession : public std::enable_shared_from_this<PutSession> {
 public:
  // Calls come one at a time, in order, from executor threads or from within the session's functions, without locks
  // held. The listener must live until OnEnd has returned or the session is destroyed.
  class Listener {
   public:
    virtual ~Listener() = default;
    // Kept positions of a group are final. Empty with `everything`. Not called for the policy external, nor for full
    // unless it selects before rows are sent.
    virtual void OnSelection(int32_t group, absl::Span<const int32_t> positions, bool everything) = 0;
    // A part in a region has been read, or will not be: its memory may be written to.
    virtual void OnConsumed(const PartHeader& part) { (void)part; }
    // The session ended: once, after Commit or at the first failure. Nothing follows.
    virtual void OnEnd(const absl::Status& status, const PutSummary& summary) = 0;
  };

  // Validates everything that can be known at the beginning and reserves the worst case.
  // Errors: INVALID_ARGUMENT and UNIMPLEMENTED as MakePutPlan lists them, BAD_BLOCK_DIGESTS, SIZE_OVERFLOW;
  // RESOURCE_EXHAUSTED (ENTRY_TOO_LARGE, BUDGET, TOO_MANY_POSITIONS). ALREADY_EXISTS (CONTENT_DIFFERS) and
  // already-stored identities are the caller's to look up first (EntryStore::FindStored).
  // `store`, `compactor`, `executor` and `clock` must outlive the session and its tasks on the executor. `recorder`,
  // where there is one, keeps the put's token scores for whoever listens.
  static absl::StatusOr<std::shared_ptr<PutSession>> Create(PutRequest request, const SessionLimits& limits,
                                                            EntryStore& store, const Compactor& compactor,
                                                            Executor& executor, const Clock& clock, Listener* listener,
                                                            ScoreRecorder* recorder = nullptr);
  ~PutSession();

  int64_t budget() const;
  const BudgetChange& budget_change() const;
  const std::vector<ReuseGroup>& groups() const;

  // One connection that carries parts: the first stream, and each attached one.
  // Errors: RESOURCE_EXHAUSTED (TOO_MANY_STREAMS), the session's end, INVALID_ARGUMENT (AFTER_COMMIT).
  using StreamId = int32_t;
  absl::StatusOr<StreamId> OpenStream();
  // The stream half-closed: it brings nothing more. (A broken stream aborts the session: call Abort.)
  void CloseStream(StreamId stream);

  // Where a part's bytes go. Checks the header against layout, order, ranges, overlap and selection.
  // Placed: write the bytes to `pieces` in order (they sum up to payload_bytes, never share memory, and may include
  // memory that nobody reads), then call FinishPart. `later`: the part is ahead of what may be staged; `resume` will be
  // called once, perhaps before this returns: call PlacePart with the same part again. Nothing else may come from that
  // stream before.
  // Errors end the session:
  // - INVALID_ARGUMENT: BAD_LAYER, BAD_TENSOR (not in the layout, or of a score source that was not declared),
  //   RANGE_KIND, BAD_RANGE, EMPTY_PART, PART_SIZE, PART_TOO_LARGE, PARTS_OVERLAP, TOO_MANY_GAPS, ORDER,
  //   AFTER_SELECTION, POSITIONS_MISSING (external rows before their positions), AFTER_COMMIT.
  // - FAILED_PRECONDITION: NOT_SELECTED (kept rows, or under a deciding guardrail VERBATIM tensors, before the
  //   selection), STREAM_CLOSED.
  struct Placement {
    bool later = false;
    uint64_t ticket = 0;
    std::vector<absl::Span<std::byte>> pieces;
  };
  absl::StatusOr<Placement> PlacePart(StreamId stream, const PartHeader& header, std::function<void()> resume);
  // The bytes of `ticket` are in place; `checksum_matches` is what the receiver computed while copying. Every placed
  // part is finished, also after the session's end: its memory lives until then. Errors end the session
  // (INVALID_ARGUMENT PART_CHECKSUM).
  absl::Status FinishPart(uint64_t ticket, bool checksum_matches);

  // A part that lies in a region: takes its place as PlacePart does, and is read when what is needed of it is known: of
  // rows that wait for a selection, the kept ones alone, unless the layer is scored by these keys. False: later, as
  // PlacePart. Errors end the session: as PlacePart but for payload sizes, as RegionPart, and UNIMPLEMENTED
  // (CONTENT_DIGEST: declared, but not all rows would be read), RESOURCE_EXHAUSTED (BUDGET: too many block ids).
  absl::StatusOr<bool> TakeRegionPart(StreamId stream, const PartHeader& header, RegionAccess access,
                                      const RegionSlice& slice, std::function<void()> resume);

  // kExternal: kept positions of a group, before its rows. Errors end the session: INVALID_ARGUMENT: BAD_GROUP,
  // POSITIONS_UNEXPECTED (another policy, or twice), BAD_POSITION_COUNT, BAD_POSITIONS (unsorted, repeated, out of
  // range).
  absl::Status SetPositions(int32_t group, absl::Span<const int32_t> positions);

  // No more parts from `stream`, on which the commit came. Ends through OnEnd, perhaps later: the other streams may
  // still bring what is missing until they are closed. Errors: INVALID_ARGUMENT (GAP, LAYER_MISSING, SCORES_MISSING,
  // POSITIONS_MISSING, CONTENT_DIGEST, AFTER_COMMIT), FAILED_PRECONDITION (LOW_RETAINED_MASS), UNIMPLEMENTED
  // (CONTENT_DIGEST: of streaming_llm, unless declared at the beginning, or of rows that were never sent).
  void Commit(const std::optional<Bytes16>& content_digest, StreamId stream = 0);

  // Ends the session with `status`; parts being written when it is called keep their memory until FinishPart. No
  // effect once the entry is being committed.
  void Abort(const absl::Status& status);

  // Whether the session computes or commits, so that its client may well be waiting for it.
  bool IsWorking() const;

  // For the owner's timer: ends a session whose open streams have all been waiting for limits.stall_ms while the lowest
  // layer is incomplete, which none of them can complete any more: INVALID_ARGUMENT (GAP). A stream that is about to
  // attach may still bring it, hence the time.
  void EndIfStalled();

 private:
  explicit PutSession(std::shared_ptr<SessionCore> core);
  // Shared with the session's tasks on the executor.
  const std::shared_ptr<SessionCore> core_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_PUT_SESSION_H_
