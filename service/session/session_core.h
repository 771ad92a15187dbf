// The inside of a put session: arrivals under a lock, compaction on a strand, one end.
//
// Two worlds meet here. What arrives (part_arrivals, tickets, buffers being filled) is guarded by mutex_ and touched by
// the callers' threads. What is compacted (runner_, selector_, digests) is touched by the strand alone, which sees a
// layer only after its last part has been finished. Every exit goes through End or Finalize, once.
#ifndef CHUNKKV_SERVICE_SESSION_SESSION_CORE_H_
#define CHUNKKV_SERVICE_SESSION_SESSION_CORE_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "service/session/callback_queue.h"
#include "service/session/compaction_runner.h"
#include "service/session/entry_body.h"
#include "service/session/group_selector.h"
#include "service/session/layer_stage.h"
#include "service/session/part_arrivals.h"
#include "service/session/put_plan.h"
#include "service/session/put_session.h"
#include "service/session/region_rows.h"
#include "service/session/score_inputs.h"
#include "service/session/score_recorder.h"
#include "service/session/staging_memory.h"
#include "service/session/staging_plan.h"
#include "service/session/strand.h"

namespace chunkkv {

class SessionCore : public std::enable_shared_from_this<SessionCore> {
 public:
  SessionCore(PutRequest request, const SessionLimits& limits, PutPlan put, StagingPlan staging, BudgetShare share,
              InFlightShare in_flight, EntryStore& store, const Compactor& compactor, Executor& executor,
              const Clock& clock, PutSession::Listener* listener, std::unique_ptr<PutScores> recorded);
  ~SessionCore();

  // Takes the body's memory, announces the put and settles what is known before any part. Once, before anything else.
  absl::Status Begin();

  const PutPlan& put() const { return put_; }

  // As the functions of PutSession.
  absl::StatusOr<int32_t> OpenStream();
  void CloseStream(int32_t stream);
  absl::StatusOr<PutSession::Placement> PlacePart(int32_t stream, const PartHeader& header,
                                                  std::function<void()> resume);
  absl::Status FinishPart(uint64_t ticket, bool checksum_matches);
  absl::StatusOr<bool> TakeRegionPart(int32_t stream, const PartHeader& header, RegionAccess access,
                                      const RegionSlice& slice, std::function<void()> resume);
  absl::Status SetPositions(int32_t group, absl::Span<const int32_t> positions);
  void Commit(const std::optional<Bytes16>& content_digest, int32_t stream);
  bool IsWorking() const { return !strand_->IsIdle(); }
  void EndIfStalled();
  // Ends the session with `status`, unless it has ended or is being committed.
  void End(const absl::Status& status);
  // The session's owner is gone: ends it without calling out, and returns when no call is running.
  void Detach();

 private:
  struct Ticket {
    PlacedPart part;
    int64_t payload_bytes = 0;
    BufferPtr memory;  // keeps what is being written
    BufferPtr sink;
  };

  // --- Arrivals, session_arrivals.cc ---
  absl::StatusOr<PutSession::Placement> PlaceLocked(int32_t stream, const PartHeader& header,
                                                    std::function<void()>& resume)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Where the part belongs, once it may come from that stream; empty: `resume` is called when it may be tried again.
  absl::StatusOr<std::optional<PlacedPart>> Admit(int32_t stream, const PartHeader& header,
                                                  std::function<void()>& resume) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MustWaitForSink(const PartHeader& header) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status AddPieces(const PlacedPart& part, Ticket& ticket, Pieces& pieces) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Memory for a part of bytes, kNamed or kScores, and what keeps it.
  struct BytesPlace {
    std::shared_ptr<Buffer> memory;
    absl::Span<std::byte> bytes;
  };
  absl::StatusOr<BytesPlace> PlaceBytes(const PlacedPart& part) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status AddRowPieces(const PlacedPart& part, Ticket& ticket, Pieces& pieces)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The layer's rows that wait for their selection, made when the first ones arrive.
  absl::StatusOr<std::shared_ptr<LayerStage>> StageOf(const LayerPlan& layer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<absl::Span<std::byte>> TakeSink(Ticket& ticket) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status SetPositionsLocked(int32_t group, absl::Span<const int32_t> positions)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static absl::Status AfterCommit();
  static absl::Status TensorsAfterSelection(int32_t layer);
  // All of the part is there, or needed no more: posts what its layer is now ready for. Errors: as TryCommit.
  absl::Status Arrived(const PlacedPart& part) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Commits if that was asked for and nothing is outstanding; else why it never can.
  absl::Status TryCommit() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Lets go of memory on the executor, in its turn before all others': unmapping takes time that callers do not have.
  void FreeLater(std::vector<std::shared_ptr<void>> memory);
  // Streams that wait may try again.
  void Wake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // --- Parts in regions, session_regions.cc; reading on the strand ---
  absl::StatusOr<bool> TakeRegionPartLocked(int32_t stream, const PartHeader& header, RegionAccess access,
                                            const RegionSlice& slice, BudgetShare share, std::function<void()>& resume)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // `share`: of the budget, for the slice's block ids.
  absl::StatusOr<RegionRows> BindToRegion(const PlacedPart& part, RegionAccess access, const RegionSlice& slice,
                                          BudgetShare share) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether a part's rows may stay where they are until their group is selected.
  bool WaitsInRegion(const PlacedPart& part) const;
  void ReadRegionPart(const RegionRows& rows);
  absl::Status ReadInto(const PlacedPart& part, const RegionPart& source);
  // What of the part's rows the positions keep, into the body.
  absl::Status ReadKept(const PlacedPart& part, const RegionPart& source, absl::Span<const int32_t> positions,
                        EntryBody& body);
  void Consume(const PlacedPart& part) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // --- Compaction, session_compaction.cc; on the strand ---
  void Post(void (SessionCore::*task)(int32_t), int32_t layer);
  void ScoreLayer(int32_t layer);
  void ReceiveLayer(int32_t layer);
  absl::Status ReceiveRows(const LayerPlan& layer);
  absl::Status SelectGroup(int32_t group);
  absl::Status DecideLast();
  // Makes the positions of a group final; null: everything.
  void PublishSelection(int32_t group, PositionsPtr positions);
  void ReleaseScores(int32_t group);
  absl::Status ReduceStaged(const LayerPlan& layer);
  absl::Status ReduceIntoFinal(const LayerPlan& layer);
  // Rows that `elsewhere` has are left out.
  absl::Status Gather(const LayerPlan& layer, const std::vector<RowsView>& sources,
                      const std::vector<RegionRows>& elsewhere, EntryBody& destination);
  void DigestBody(const LayerPlan& layer, EntryBody& body);
  Buffer::Kind BodyKind() const {
    return limits_.shareable_entries ? Buffer::Kind::kShareable : Buffer::Kind::kPrivate;
  }
  absl::StatusOr<std::shared_ptr<EntryBody>> MakeBody(const std::vector<int64_t>& row_counts);

  // --- Commit, session_commit.cc; on the strand ---
  void Finalize();
  absl::StatusOr<std::optional<Bytes16>> CheckContentDigest() const;
  EntryHeader MakeHeader(EntryBody& body, const std::optional<Bytes16>& content_digest);
  void ReleaseStrandState();

  const PutRequest request_;
  const SessionLimits limits_;
  const PutPlan put_;
  StagingPlan staging_;
  EntryStore& store_;
  Executor& executor_;
  const Clock& clock_;
  PutSession::Listener* const listener_;
  const EntryIdentity identity_;
  EntryStore::PutToken token_ = 0;

  StagingMemory memory_;
  const std::shared_ptr<Strand> strand_;
  CallbackQueue callbacks_;
  std::atomic<bool> cancelled_{false};

  mutable Mutex mutex_;
  PartArrivals arrivals_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, Ticket> tickets_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_ticket_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::pair<int32_t, std::function<void()>>> waiting_ ABSL_GUARDED_BY(mutex_);
  std::vector<BufferPtr> free_sinks_ ABSL_GUARDED_BY(mutex_);
  int64_t sinks_in_use_ ABSL_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<EntryBody> body_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<LayerStage>> stages_ ABSL_GUARDED_BY(mutex_);   // per layer
  std::vector<std::shared_ptr<ScoreInputs>> scores_ ABSL_GUARDED_BY(mutex_);  // per attention layer
  std::vector<PositionsPtr> positions_ ABSL_GUARDED_BY(mutex_);               // per group
  std::vector<std::vector<RegionRows>> region_rows_ ABSL_GUARDED_BY(mutex_);  // per layer
  int64_t region_reads_ ABSL_GUARDED_BY(mutex_) = 0;                          // parts that are read, or are about to be
  std::vector<bool> score_posted_ ABSL_GUARDED_BY(mutex_);                    // per layer
  std::vector<bool> receive_posted_ ABSL_GUARDED_BY(mutex_);
  int64_t received_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t staged_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t peak_staging_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t stalled_since_ms_ ABSL_GUARDED_BY(mutex_) = -1;
  int32_t committing_stream_ ABSL_GUARDED_BY(mutex_) = -1;  // -1: not asked yet
  bool committing_ ABSL_GUARDED_BY(mutex_) = false;         // Finalize has been posted
  bool committed_ ABSL_GUARDED_BY(mutex_) = false;          // the store has been called: no way back
  std::optional<Bytes16> commit_digest_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);

  // The strand's own.
  CompactionRunner runner_;
  GroupSelector selector_;
  std::unique_ptr<PutScores> recorded_;                // null: nobody listens
  std::vector<int64_t> row_counts_;                    // per group, of the entry
  bool decided_ = false;                               // decides_last: all groups are selected
  std::shared_ptr<EntryBody> final_body_;              // decides_last: where kept rows are gathered
  std::vector<int32_t> undecided_;                     // decides_last: complete layers before the decision
  std::vector<std::vector<int32_t>> unselected_;       // per group: complete staged layers before its selection
  std::vector<std::vector<Bytes16>> content_digests_;  // per layer: of the whole tensors as sent
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_SESSION_CORE_H_
